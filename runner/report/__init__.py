"""What a study has found, for people: leaderboard, HTML page, pictures of single trials.

Importing this room is cheap; matplotlib is imported when a picture is drawn.
"""

from runner.report.export import leaderboard_csv, leaderboard_records
from runner.report.html import StudyPage, study_html
from runner.report.leaderboard import (
    Leaderboard,
    LeaderboardRow,
    duration_text,
    param_text,
    rank,
    value_text,
)
from runner.report.pictures import draw_pictures
from runner.report.table import leaderboard_table, leaderboard_text

__all__ = [
    "Leaderboard",
    "LeaderboardRow",
    "StudyPage",
    "draw_pictures",
    "duration_text",
    "leaderboard_csv",
    "leaderboard_records",
    "leaderboard_table",
    "leaderboard_text",
    "param_text",
    "rank",
    "study_html",
    "value_text",
]
