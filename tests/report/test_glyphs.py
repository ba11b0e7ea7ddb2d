"""Fonts that have the characters of a text."""

from runner.report.glyphs import DEFAULT_FAMILY, families_for


def test_families_for_latin_greek_and_cyrillic_is_the_font_that_ships():
    assert families_for("Åsa αβγ Привет …\n") == ([DEFAULT_FAMILY], frozenset())


def test_families_for_a_character_of_another_installed_font_adds_that_font():
    # A bracket that DejaVu Sans lacks and STIX has; both ship with matplotlib.
    families, missing = families_for("a \u23b4")

    assert families[0] == DEFAULT_FAMILY
    assert len(families) == 2
    assert missing == frozenset()


def test_families_for_what_no_font_has_says_so():
    unassigned = "\U000e0fff"

    families, missing = families_for(f"a{unassigned}b")

    assert missing == {unassigned}
    assert families == [DEFAULT_FAMILY]
