"""From hits to findings: one for each list, place and state, the nearest kept, said in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tutela.core import (
    FindingKind,
    FrameHash,
    HashMode,
    HashType,
    ListMode,
    Media,
    MediaKind,
    Purpose,
    SignalHash,
    ViewHash,
)
from tutela.errors import IndexUnavailable, StoreUnavailable
from tutela.lists import HashQuery, Lists
from tutela.lists.matching import STILL, probes_of_hashes, probes_of_media
from tutela.settings import ListSettings

WHO = {"actor": "anna", "reason": "a test"}


@pytest.fixture
def lists(sqlite_lists: Lists) -> Lists:
    """Matching reads alike on both databases; the service's own tests run on both."""
    return sqlite_lists


def frames(make, numbers, *, flips: int = 0, quality: int = 90) -> tuple[FrameHash, ...]:
    return tuple(
        FrameHash(number=at, time=at / 2, pdq=make.bits(number, flips), quality=quality)
        for at, number in enumerate(numbers)
    )


def video(make, numbers, **options) -> Media:
    return Media(
        kind=MediaKind.VIDEO,
        format="mp4",
        size=9,
        digests=make.digests(-999),
        frames=frames(make, numbers, **options),
    )


def listed_video(make, numbers, name: str = "clip"):
    part = SignalHash(type=HashType.VPDQ, frames=frames(make, numbers))
    return make.signal(1, upstream_id=name, hashes=(part,))


class Silent:
    """A database that fails the test when it is asked."""

    def read(self):
        raise AssertionError("the database was asked")


def test_where_nothing_is_hit_no_database_is_asked_and_the_index_once(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)
    asked = []
    near = lists.index.near

    def counted(queries):
        asked.append(len(queries))
        return near(queries)

    monkeypatch.setattr(lists.index, "near", counted)
    monkeypatch.setattr(lists, "database", Silent())
    views = tuple(view(make, 50 + n, 0, name=f"v{n}") for n in range(9))
    inside = replace(make.picture(3, views=views), where="a.zip/b.jpg")
    assert lists.match(replace(make.picture(2, views=views), members=(inside,))) == ()
    assert asked == [20]


def test_a_fault_of_index_or_database_is_raised_and_never_an_empty_answer(lists, make, monkeypatch):
    lists.add("known", [make.signal(1)], **WHO)

    class Away:
        def read(self):
            raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(lists, "database", Away())
    with pytest.raises(StoreUnavailable):
        lists.match(make.picture(1))
    lists.index.close()
    with pytest.raises(IndexUnavailable):
        lists.match(make.picture(2))


def test_exact_digests_of_a_file_and_of_its_members_are_found(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    member = Media(
        where="x.zip/y.bin", kind=MediaKind.OTHER, format="text", size=1, digests=make.digests(1)
    )
    outer = Media(
        kind=MediaKind.CONTAINER, format="zip", size=2, digests=make.digests(5), members=(member,)
    )
    (finding,) = lists.match(outer)
    assert (finding.kind, finding.where) == (FindingKind.EXACT, "x.zip/y.bin")
    assert finding.hash_type is HashType.SHA256, "the strongest of the three that equal"
    assert finding.reason == "SHA-256 equals a signal's of list 'known'"


def test_an_md5_alone_is_told_as_what_it_is(lists, make):
    md5 = SignalHash(type=HashType.MD5, value=make.digests(1).md5)
    lists.add("known", [make.signal(1, hashes=(md5,))], **WHO)
    (found,) = lists.match_hashes([HashQuery(md5=md5.value)])
    assert found[0].hash_type is HashType.MD5
    assert found[0].reason == "MD5 equals a signal's of list 'known'"


@pytest.mark.parametrize(("flips", "found"), [(0, True), (31, True), (32, False)])
def test_the_radius_is_inclusive(lists, make, flips, found):
    lists.add("known", [make.signal(1)], **WHO)
    assert bool(lists.match(make.picture(1, flips=flips))) is found


def test_low_quality_matches_by_digest_only(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    assert lists.match(make.picture(1, quality=49)) == ()
    assert lists.match(make.picture(1, quality=50))
    flat = SignalHash(type=HashType.PDQ, value=make.bits(2), quality=49)
    lists.add("known", [make.signal(2, hashes=(flat,))], **WHO)
    assert lists.match(make.picture(2)) == (), "nor does a listed hash of low quality"
    assert lists.match_hashes([HashQuery(pdq=make.bits(1), quality=10)]) == [()]
    assert lists.match_hashes([HashQuery(pdq=make.bits(1))])[0]


def view(make, number, flips, *, name="trim+mirror", radius=20, quality=80):
    return ViewHash(view=name, pdq=make.bits(number, flips), quality=quality, radius=radius)


def test_a_view_matches_within_its_own_radius_and_is_named(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    (finding,) = lists.match(make.picture(2, views=(view(make, 1, 6),)))
    assert (finding.view, finding.distance, finding.radius) == ("trim+mirror", 6, 20)
    assert finding.reason == (
        "PDQ at distance 6 of 20 from a signal of list 'known' (view trim+mirror)"
    )
    assert lists.match(make.picture(2, views=(view(make, 1, 21),))) == ()
    assert lists.match(make.picture(2, views=(view(make, 1, 6, quality=49),))) == ()


def test_the_picture_as_it_is_goes_before_a_nearer_view(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    (finding,) = lists.match(make.picture(1, flips=30, views=(view(make, 1, 0),)))
    assert (finding.view, finding.distance) == (None, 30)


def test_the_nearest_view_is_kept(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    views = (view(make, 1, 9, name="far"), view(make, 1, 3, name="near"))
    (finding,) = lists.match(make.picture(2, views=views))
    assert (finding.view, finding.distance) == ("near", 3)


def test_a_thousand_duplicates_are_one_finding(lists, make):
    pdq = (make.signal(1).hashes[-1],)
    many = [make.signal(1, upstream_id=f"copy {n}", hashes=pdq) for n in range(1000)]
    lists.add("known", many, **WHO)
    (finding,) = lists.match(make.picture(1, flips=2))
    assert finding.reason.endswith("; 999 more signals of the list match")


def test_each_list_and_each_state_is_a_finding_of_its_own(lists, make):
    lists.create("other", Purpose.NCII, mode=ListMode.HOLD, **WHO)
    lists.add("known", [make.signal(1), make.signal(1, upstream_id="doubted")], **WHO)
    lists.add("other", [make.signal(1)], **WHO)
    lists.dispute("known", ["doubted"], **WHO)
    found = lists.match(make.picture(1, flips=1))
    assert [(f.list.name, f.list.purpose, f.signal.state.value) for f in found] == [
        ("known", Purpose.CSAM, "active"),
        ("other", Purpose.NCII, "active"),
        ("known", Purpose.CSAM, "disputed"),
    ]


def test_frames_of_an_animation_are_matched_and_named(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    first, third = make.picture(2).pictures[0], make.picture(1, flips=4).pictures[0]
    animation = replace(
        make.picture(2),
        kind=MediaKind.ANIMATION,
        pictures=(replace(first, frame=0), replace(third, frame=3)),
    )
    (finding,) = lists.match(animation)
    assert (finding.frame, finding.distance) == (3, 4)
    assert "(frame 3 of the animation)" in finding.reason


def test_frames_of_a_video_are_held_against_picture_lists(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    (finding,) = lists.match(video(make, [7, 8, 1, 9]))
    assert finding.kind is FindingKind.NEAR
    assert (finding.frame, finding.time, finding.hash_type) == (2, 1.0, HashType.PDQ)
    assert "(frame 2 of the video at 1.0 s)" in finding.reason


def test_a_video_matches_where_enough_of_the_listed_one_is_matched(lists, make):
    lists.add("known", [listed_video(make, range(100, 110))], **WHO)
    assert lists.match(video(make, range(100, 104))) == ()
    (finding,) = lists.match(video(make, [*range(100, 105), *range(300, 320)], flips=5))
    assert finding.kind is FindingKind.VIDEO
    assert (finding.share, finding.distance, finding.hash_type) == (0.5, 5, HashType.VPDQ)
    assert finding.reason == (
        "50% of the frames of a listed video of list 'known' match 20% of this one's, "
        "the nearest at distance 5"
    )


def test_enough_of_the_uploaded_video_must_match_too_where_that_is_set(lists, make):
    lists.settings = lists.settings.model_copy(update={"video_query_share": 0.5})
    lists.add("known", [listed_video(make, range(100, 110))], **WHO)
    assert lists.match(video(make, [*range(100, 110), *range(300, 311)])) == ()
    assert lists.match(video(make, [*range(100, 110), *range(300, 310)]))


def test_repeated_and_flat_frames_do_not_weigh_in_the_shares(lists, make):
    still = [100] * 50 + [101]
    lists.add("known", [listed_video(make, still)], **WHO)
    (finding,) = lists.match(video(make, [100] * 7))
    assert finding.share == 0.5, "one of its two different frames"
    assert lists.match(video(make, [100] * 7, quality=49)) == ()
    assert len(lists.index.near([(make.bits(100), 0)])[0]) == 1, "a still scene is indexed once"


def test_a_still_of_a_listed_video_is_a_match_by_view_only(lists, make):
    lists.add("known", [listed_video(make, range(100, 110))], **WHO)
    (finding,) = lists.match(make.picture(104, flips=3))
    assert (finding.kind, finding.view) == (FindingKind.NEAR, STILL)
    assert finding.hash_type is HashType.VPDQ
    assert "a frame of a listed video" in finding.reason
    (finding,) = lists.match(make.picture(2, views=(view(make, 104, 3),)))
    assert finding.view == f"{STILL}+trim+mirror"


def test_a_batch_of_hashes_is_answered_in_its_order(lists, make):
    lists.add("known", [make.signal(1), make.signal(2)], **WHO)
    digests = make.digests(2)
    answers = lists.match_hashes(
        [
            HashQuery(pdq=make.bits(9)),
            HashQuery(pdq=make.bits(1, 3), quality=80),
            HashQuery(),
            HashQuery(md5=digests.md5, sha1=digests.sha1, sha256=digests.sha256),
        ]
    )
    assert [len(answer) for answer in answers] == [0, 1, 0, 1]
    assert answers[1][0].distance == 3
    assert answers[3][0].hash_type is HashType.SHA256


def test_probes_carry_all_that_findings_tell(make):
    settings = ListSettings(radius=25)
    probes = probes_of_media(make.picture(1, views=(view(make, 2, 0, radius=31),)), settings)
    assert [(p.view, p.radius, p.mode) for p in probes.near] == [
        (None, 25, HashMode.LUMA),
        ("trim+mirror", 25, HashMode.LUMA),
    ], "a view's radius is never wider than the setting"
    assert len(probes.exact) == 3
    assert probes_of_hashes(HashQuery(), settings).exact == []


def test_findings_name_no_hash_value(lists, make):
    lists.add("known", [make.signal(1)], **WHO)
    for finding in lists.match(make.picture(1, flips=3)):
        assert make.bits(1).hex() not in repr(finding)
        assert make.bits(1, 3).hex() not in repr(finding)
