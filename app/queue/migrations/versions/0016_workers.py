"""Who works where: machine, process, kind, name, what it offers and the limits that it was told.

Everything has a default or may be null: processes of the version before go on writing their rows without it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("owner", sa.Column("host", sa.String(), nullable=False, server_default=""))
    op.add_column("owner", sa.Column("pid", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("owner", sa.Column("kind", sa.String(), nullable=False, server_default="server"))
    op.add_column("owner", sa.Column("label", sa.String(), nullable=False, server_default=""))
    op.add_column("owner", sa.Column("offers", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("owner", sa.Column("limits", sa.JSON(none_as_null=True), nullable=True))
