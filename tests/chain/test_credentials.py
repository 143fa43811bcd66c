"""The token is in a file that somebody changes: what was stopped starts again at once, nothing else does."""

from pathlib import Path

import pytest

from reconciler.operator.loop import LOOK_AT_CREDENTIALS
from tests.chain.gateway import OPEN, SHUT, Gateway
from tests.chain.operating import Operator
from tests.chain.world import World
from tests.web.wire import answer

REFUSED = answer(401, "wrong token", Content_Type="text/plain")
REJECTED = answer(422, "no", Content_Type="text/plain")


def put(file: Path, text: str) -> None:
    """As another program does it: in place."""
    file.write_text(text)


@pytest.fixture
def token(through: World, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    put(file, "first-token\n")
    through.token_file = file
    return file


@pytest.fixture
def beside(through: World) -> Operator:
    through.cluster.install("shop/web", "shop/db")
    return Operator(through)


@pytest.mark.parametrize(
    ("mode", "delivered"),
    [(REFUSED, "False ApiUnusable"), (REJECTED, "False Rejected"), (SHUT, "False Pending")],
    ids=["stopped", "rejected", "in trouble"],
)
async def test_new_credentials_are_tried_within_seconds_and_no_request_is_made_to_find_out(
    mode: str | bytes, delivered: str, beside: Operator, door: Gateway, token: Path
) -> None:
    async with beside.running():
        await door.set(mode)
        await beside.apply()
        assert beside.server.said("hossted", "Delivered") == delivered
        if mode != SHUT:  # which is tried again by itself before long
            asked = len(door.asked)
            await beside.passes(300)
            assert len(door.asked) == asked
        await door.set(OPEN)
        put(token, "second-token\n")
        await beside.passes(LOOK_AT_CREDENTIALS)
        assert sorted(beside.world.told) == ["shop/db 1 deployed", "shop/web 1 deployed"]
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"


async def test_a_file_that_only_looks_new_starts_nothing(
    beside: Operator, door: Gateway, token: Path
) -> None:
    async with beside.running():
        await door.set(REFUSED)
        await beside.apply()
        asked = len(door.asked)
        put(token, "first-token")
        await beside.passes(300)
        assert len(door.asked) == asked


async def test_while_nothing_waits_nobody_looks_at_files(
    beside: Operator, door: Gateway, token: Path
) -> None:
    async with beside.running():
        await beside.apply()
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"
        beside.clock.waits.clear()
        await beside.passes(300)
        assert LOOK_AT_CREDENTIALS not in beside.clock.waits


async def test_a_token_in_the_environment_is_not_looked_at_again(beside: Operator, door: Gateway) -> None:
    async with beside.running():
        await door.set(REFUSED)
        await beside.apply()
        beside.clock.waits.clear()
        await beside.passes(300)
        assert LOOK_AT_CREDENTIALS not in beside.clock.waits


async def test_a_file_that_cannot_be_used_leaves_the_last_token_and_the_status_says_so(
    beside: Operator, door: Gateway, token: Path
) -> None:
    async with beside.running():
        await door.set(REFUSED)
        await beside.apply()
        put(token, "")
        await beside.passes(620)
        message = beside.server.message("hossted", "Delivered")
        assert (
            f"HOSSTED_AUTH_TOKEN_FILE: {token} is empty; the token that was there before is used" in message
        )
        assert "first-token" not in message
        await door.set(OPEN)
        put(token, "second-token")
        await beside.passes(LOOK_AT_CREDENTIALS)
        assert beside.server.said("hossted", "Delivered") == "True UpToDate"


async def test_credentials_that_change_all_the_time_are_no_way_around_five_tries_a_minute(
    beside: Operator, door: Gateway, token: Path
) -> None:
    async with beside.running():
        await door.set(REFUSED)
        await beside.apply()
        for number in range(24):
            put(token, f"token-{number}")
            await beside.passes(LOOK_AT_CREDENTIALS)
        assert 5 <= len(door.asked) <= 15
