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
from runner.report.listing import study_rows, study_table
from runner.report.live import LiveView, PlainView
from runner.report.pictures import draw_pictures
from runner.report.predictions import prediction_table
from runner.report.progress import Goal
from runner.report.publish import draw_into_run, page_of, publish, sync
from runner.report.showing import show_leaderboard
from runner.report.study import board_of, status_values, summary_lines, trial_values
from runner.report.table import leaderboard_table, leaderboard_text

__all__ = [
    "Goal",
    "Leaderboard",
    "LeaderboardRow",
    "LiveView",
    "PlainView",
    "StudyPage",
    "board_of",
    "draw_into_run",
    "draw_pictures",
    "duration_text",
    "leaderboard_csv",
    "leaderboard_records",
    "leaderboard_table",
    "leaderboard_text",
    "page_of",
    "param_text",
    "prediction_table",
    "publish",
    "rank",
    "show_leaderboard",
    "status_values",
    "study_html",
    "study_rows",
    "study_table",
    "summary_lines",
    "sync",
    "trial_values",
    "value_text",
]
