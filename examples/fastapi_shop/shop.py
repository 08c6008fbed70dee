"""A FastAPI shop in several processes over one database: an order and its run begin in one transaction.

`SHOP_DATABASE=sqlite:///shop.db SHOP_APPROVERS=ann:her-token python shop.py [--workers 2] [--port 8000]`
"""

import argparse
import asyncio
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from amends.sagas import (
    ApprovalNotFound,
    Coordinator,
    DecisionRefused,
    Fatal,
    InputInvalid,
    Undo,
    approval,
    saga,
    transaction,
)

LARGE = 100_000
"""Cents from which on somebody has to approve an order."""
ON_THE_SHELF = {"kettle": 1_000, "teapot": 3}
PRICES = {"kettle": 4_990, "teapot": 19_990}
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}

METADATA = MetaData()
SHELVES = Table(
    "shelves",
    METADATA,
    Column("article", Text, primary_key=True),
    Column("free", Integer, CheckConstraint("free >= 0"), nullable=False),
)
ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("article", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("state", Text, nullable=False),
)
PAYMENTS = Table(
    "payments",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("cents", Integer, nullable=False),
)


class Order(BaseModel):
    """What somebody orders."""

    article: str
    quantity: int = Field(gt=0, le=1_000)

    @property
    def cents(self) -> int:
        """What it costs."""
        return PRICES.get(self.article, 0) * self.quantity


class Rejected(Fatal):
    """Nobody approved the order."""


@transaction(name="shop.reserve")
def reserve(db: Connection, id: str, order: Order) -> None:
    """Take note that the order is being worked on; its articles were taken off the shelf with it."""
    db.execute(update(ORDERS).where(ORDERS.c.id == id).values(state="accepted"))


@reserve.compensation(name="shop.put_back")
def put_back(undo: Undo[None], db: Connection, id: str, order: Order) -> None:
    """Put the articles back on the shelf."""
    shelf = update(SHELVES).where(SHELVES.c.article == order.article)
    db.execute(shelf.values(free=SHELVES.c.free + order.quantity))
    db.execute(update(ORDERS).where(ORDERS.c.id == id).values(state="given up"))


@transaction(name="shop.take_payment")
def take_payment(db: Connection, id: str, cents: int) -> int:
    """Book the payment."""
    booked = insert(PAYMENTS).values(order_id=id, cents=cents).returning(PAYMENTS.c.number)
    number: int = db.execute(booked).scalar_one()
    return number


@take_payment.compensation(name="shop.pay_back")
def pay_back(undo: Undo[int], db: Connection, id: str, cents: int) -> None:
    """Book it back."""
    db.execute(insert(PAYMENTS).values(order_id=id, cents=-cents))


@transaction(name="shop.ship")
def ship(db: Connection, id: str) -> None:
    """Hand the parcel over."""
    db.execute(update(ORDERS).where(ORDERS.c.id == id).values(state="shipped"))


@saga(name="shop.sell")
async def sell(id: str, order: Order) -> str:
    """Have a large order approved, take the payment, and ship it."""
    await reserve(id, order)
    if order.cents >= LARGE:
        details = {"order": id, "article": order.article, "quantity": order.quantity, "cents": order.cents}
        decision = await approval(title=f"Order {id}", details=details, timeout=timedelta(days=2))
        if not decision.approved:
            raise Rejected(f"{decision.status}: {decision.reason or 'no reason given'}")
    await take_payment(id, order.cents)
    await ship(id)
    return f"{id} is on its way"


@dataclass(frozen=True, slots=True)
class Shop:
    """What the endpoints need: the coordinator, and the application's own engine to the same database."""

    coordinator: Coordinator
    engine: AsyncEngine


def engine_to(database: str) -> AsyncEngine:
    """Make the application's own engine, over an async driver."""
    url = make_url(database)
    return create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()]))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the coordinator in each process: it serves requests, and works on runs beside them."""
    database = os.environ["SHOP_DATABASE"]
    engine = engine_to(database)
    async with Coordinator(database) as coordinator:
        app.state.shop = Shop(coordinator, engine)
        print(f"shop: process {os.getpid()} is open", flush=True)
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


def shop_of(request: Request) -> Shop:
    """Give the shop to an endpoint."""
    shop: Shop = request.app.state.shop
    return shop


def approver(credential: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Tell who it is from the bearer token, never from what the request says."""
    known = (pair.partition(":") for pair in os.environ.get("SHOP_APPROVERS", "").split(",") if ":" in pair)
    given = credential.credentials.encode()
    for name, _, token in known:
        if token and hmac.compare_digest(token.encode(), given):
            return name
    raise HTTPException(status.HTTP_401_UNAUTHORIZED, "unknown token")


InShop = Annotated[Shop, Depends(shop_of)]
Approver = Annotated[str, Depends(approver)]


class Placed(BaseModel):
    """An order, as its customer sees it: `state` from the shop's table, `run` from amends."""

    id: str
    state: str
    run: str


class Verdict(BaseModel):
    """What an approver decides; `digest` is that of what was shown."""

    approved: bool
    digest: str
    reason: str | None = None


@app.put("/orders/{id}", status_code=status.HTTP_202_ACCEPTED)
async def place(id: str, order: Order, shop: InShop) -> Placed:
    """Take an order. The client names it: the same request again, after a lost answer, is the same order."""
    try:
        # Committed here and not in a dependency: FastAPI ends those after it has answered.
        async with shop.engine.begin() as db:
            await db.execute(insert(ORDERS).values(id=id, state="placed", **order.model_dump()))
            await shop.coordinator.start(sell, id, order, id=f"order-{id}", connection=db)
            await take_off_the_shelf(db, order)
    except IntegrityError:
        if not await is_there(id, order, shop):
            raise HTTPException(status.HTTP_409_CONFLICT, f"{id} is another order's id") from None
    return await show(id, shop)


async def take_off_the_shelf(db: AsyncConnection, order: Order) -> None:
    """Take the articles, or refuse: what was done in this transaction is rolled back, the run included."""
    there = (SHELVES.c.article == order.article) & (SHELVES.c.free >= order.quantity)
    taken = await db.execute(update(SHELVES).where(there).values(free=SHELVES.c.free - order.quantity))
    if taken.rowcount == 0:
        raise HTTPException(status.HTTP_409_CONFLICT, f"there aren't {order.quantity} x {order.article}")


async def is_there(id: str, order: Order, shop: Shop) -> bool:
    """Tell whether this very order has been placed."""
    async with shop.engine.connect() as db:
        row = (await db.execute(select(ORDERS).where(ORDERS.c.id == id))).one_or_none()
    return row is not None and (row.article, row.quantity) == (order.article, order.quantity)


@app.get("/orders/{id}")
async def show(id: str, shop: InShop) -> Placed:
    """Tell how an order is."""
    async with shop.engine.connect() as db:
        state = (await db.execute(select(ORDERS.c.state).where(ORDERS.c.id == id))).scalar()
    if state is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no order {id}")
    run = await shop.coordinator.get(f"order-{id}")
    return Placed(id=id, state=state, run=await run.status())


@app.get("/approvals")
async def pending(who: Approver, shop: InShop) -> list[dict[str, Any]]:
    """List what waits for somebody; looking decides nothing."""
    asked = await shop.coordinator.approvals()
    return [{"id": one.id, "title": one.title, "details": one.details, "digest": one.digest} for one in asked]


@app.post("/approvals/{id:path}")
async def decide(id: str, verdict: Verdict, who: Approver, shop: InShop) -> dict[str, str]:
    """Decide in the name of whoever's token it is, about what was shown."""
    await shop.coordinator.decide(
        id, approved=verdict.approved, by=who, reason=verdict.reason, digest=verdict.digest, how="shop"
    )
    return {"decided by": who}


@app.exception_handler(ApprovalNotFound)
@app.exception_handler(DecisionRefused)
@app.exception_handler(InputInvalid)
async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Say over HTTP what amends refuses."""
    codes: dict[type[Exception], int] = {ApprovalNotFound: 404, DecisionRefused: 409, InputInvalid: 422}
    return JSONResponse({"detail": str(error)}, codes[type(error)])


async def prepare(engine: AsyncEngine) -> None:
    """Make the shop's tables, and fill the shelves: once, before there are several processes."""
    async with engine.begin() as db:
        await db.run_sync(METADATA.create_all)
        known = set((await db.execute(select(SHELVES.c.article))).scalars())
        for article in ON_THE_SHELF.keys() - known:
            await db.execute(insert(SHELVES).values(article=article, free=ON_THE_SHELF[article]))
    await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--port", type=int, default=8000, help="on 127.0.0.1; 0 for any free one")
    given = parser.parse_args()
    asyncio.run(prepare(engine_to(os.environ["SHOP_DATABASE"])))
    # A process that takes its time to import isn't a dead one.
    uvicorn.run("shop:app", port=given.port, workers=given.workers, timeout_worker_healthcheck=60)
