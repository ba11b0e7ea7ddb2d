"""Bars of labels and entity types: sorted, with what each rests on."""

import math

from runner.report.per_label import per_label_bars


def row(label: str, f1: float, support: int = 5, **more: object) -> dict[str, object]:
    return {"label": label, "precision": f1, "recall": f1, "f1": f1, "support": support, **more}


def names(axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_per_label_bars_are_sorted_by_f1_with_their_support():
    (axes,) = per_label_bars([row("dog", 0.2, 1200), row("cat", 0.9, 3), row("emu", 0.5)]).axes

    assert names(axes) == ["cat", "emu", "dog"]
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.5, 0.2]
    assert [text.get_text() for text in axes.texts] == ["examples", "3", "5", "1,200"]
    assert axes.get_title(loc="left") == "F1 of each label"


def test_per_label_bars_mark_what_is_defined():
    rows = [row("a", 0.5, auroc=0.8), row("b", 0.4, auroc=None), row("c", 0.3, auroc=math.nan)]

    (axes,) = per_label_bars(rows).axes

    drawn = {mark.get_label(): mark.get_offsets().tolist() for mark in axes.collections}
    assert drawn["AUROC"] == [[0.8, 0.0]]
    assert drawn["precision"] == [[0.5, 0.0], [0.4, 1.0], [0.3, 2.0]]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "F1",
        "precision",
        "recall",
        "AUROC",
    ]


def test_per_label_bars_without_examples_come_last_and_have_no_marks():
    (axes,) = per_label_bars([row("never", 0.0, 0), row("poor", 0.0, 4)], what="entity type").axes

    assert names(axes) == ["poor", "never"]
    marked = [offset[1] for mark in axes.collections for offset in mark.get_offsets().tolist()]
    assert set(marked) == {0.0}
    assert axes.get_title(loc="left") == "F1 of each entity type"


def test_per_label_bars_of_many_labels_show_the_lowest():
    (axes,) = per_label_bars([row(f"label {i:03}", i / 100) for i in range(100)]).axes

    assert names(axes)[0] == "label 039"
    assert names(axes)[-1] == "label 000"
    assert axes.get_title(loc="left") == "F1 of the 40 lowest of 100 labels"
