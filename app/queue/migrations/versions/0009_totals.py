"""Totals of a step, such as tokens that were used."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("step_job", sa.Column("totals", sa.JSON(none_as_null=True), nullable=True))
