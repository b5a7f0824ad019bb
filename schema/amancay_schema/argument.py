"""Arguments that several fields take, each with its description."""

from typing import Annotated

import strawberry

First = Annotated[int, strawberry.argument(description="How many at most, from 0 to 100.")]
After = Annotated[str | None, strawberry.argument(description="Go on after this cursor.")]
GlobalId = Annotated[strawberry.ID, strawberry.argument(description="A global id, as the field `id` gave it.")]
DatasetName = Annotated[str, strawberry.argument(description="The dataset's name.")]
