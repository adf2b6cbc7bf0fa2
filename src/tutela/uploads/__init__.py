"""Gate 1: uploads. Bytes come in, are spooled, examined, decided upon and acted on."""
