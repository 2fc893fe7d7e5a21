from secondread.readings.reading import Reading
from secondread.readings.sequences import sequences_of


def frame(
    path: str, number: int, score: float | None, study: str = "s", time: float | None = None
) -> Reading:
    return Reading(path, study_id=study, frame=number, time_s=time, score=score, flagged=(score or 0) > 0.5)


def test_frames_of_one_file_are_one_sequence_in_their_order_and_the_worst_comes_first():
    rows = [
        frame("a.dcm#frame/1", 1, 0.1, time=0.5),
        frame("b/2.png", 1, 0.9),
        frame("a.dcm#frame/0", 0, 0.4, time=0.0),
        frame("b/1.png", 0, None),
        frame("a.dcm#frame/2", 2, 0.6, study="other"),
        Reading("c.png", study_id="s", score=3.0),
        frame("d.dcm#frame/0", 0, 0.2, study=""),
    ]
    folder, clip = sequences_of(rows)
    assert (folder.source, clip.source) == ("b", "a.dcm")
    assert [each.path for each in clip.frames] == ["a.dcm#frame/0", "a.dcm#frame/1"]
    assert clip.places == (0.0, 0.5)
    assert folder.places == (0.0, 1.0)
    assert folder.worst is rows[1]
    assert (folder.flagged, folder.failed, clip.flagged) == (1, 1, 0)


def test_a_sequence_of_which_no_frame_has_a_score_comes_last():
    rows = [frame(f"a.dcm#frame/{n}", n, None) for n in range(2)]
    rows += [frame(f"b.dcm#frame/{n}", n, -5.0) for n in range(2)]
    last = sequences_of(rows)[-1]
    assert (last.source, last.worst) == ("a.dcm", None)


def test_two_sequences_of_a_study_in_one_folder_are_told_apart_by_their_names():
    rows = [
        frame(f"b/{name}_{n}.png", n, score) for n in range(2) for name, score in (("lax", 1), ("sax", 2))
    ]
    short, long = sequences_of(rows)
    assert (short.source, long.source) == ("b/sax_", "b/lax_")
    assert short.places == long.places == (0.0, 1.0)
