"""One attempt of a transactional step or compensation: what is looked up, done and committed together.

The key's row says what has landed before, and only one attempt's transaction can write it. So whoever is in
doubt asks again by the same key: a COMMIT whose reply is lost, a worker that died, one that is woken late.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from amends.persistence.errors import CommittedByStep, UnsupportedDatabase
from amends.persistence.faults import Fault, fault_of
from amends.persistence.guests import check_begun, commit, roll_back
from amends.persistence.transactions import Recorded, Stand
from amends.sagas.calling import Called, Found, landed, prepared
from amends.sagas.errors import DefinitionError, Fatal, NoEffect, PayloadTooLarge, ResultInvalid, StepTimeout
from amends.sagas.news import Attempt
from amends.sagas.outbox import Outbox
from amends.sagas.outcome import Outcome
from amends.sagas.room import Room, State, Turn
from amends.sagas.step import Compensation, Step
from amends.sagas.transaction_errors import Again, ended_itself, result_lost, timed_out

if TYPE_CHECKING:
    from sqlalchemy import Connection, RootTransaction
    from sqlalchemy.ext.asyncio import AsyncConnection

PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between two tries to get at a database that can't be had just now; the last one stays."""
DONE: Found = (Outcome.LANDED, None, None)


class Transacting:
    """One attempt. `run` does it in a thread, `run_async` on the loop; both tell what came of it.

    `answered` tells that an error was the step's answer, as declared; `settled` that no earlier attempt lands
    any more either.
    """

    def __init__(self, room: Room, called: Step[..., Any] | Compensation[Any], attempt: Attempt, limit: int):
        self._room = room
        self._called = called
        self._attempt = attempt
        self._limit = limit
        self._given = called.given
        self._recorded: Recorded | None = None
        self._state = State.WORKING
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._connection: Connection | None = None
        self._transaction: RootTransaction | None = None
        self._mark = ""
        self._timer: threading.Timer | None = None
        self._turn: Turn | None = None
        self._in_doubt = False
        self.answered = self.settled = False
        self.outbox = Outbox(attempt.key, room.now, limit, room.post)

    def run(self) -> Found:
        """Do it, in the thread that calls."""
        tries = 0
        while not self._over.is_set():
            try:
                found = self._try()
            except Again:
                self._over.wait(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
                continue
            return found if found is not None else self._guarded(self._call)
        return self.stopped(self._timed_out())

    async def run_async(self) -> Found:
        """Do it on the loop; a cancellation that comes while it commits is kept back until that is known."""
        tries = 0
        while True:
            try:
                found = await self._try_async()
            except Again:
                await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
                continue
            if found is not None:
                return found
            await self._call()
            return DONE

    def stopped(self, error: BaseException) -> Found:
        """Tell what it means that the attempt is over its time, or cancelled: it can't commit from now on."""
        with self._guard:
            committing = self._state is State.COMMITTING
            if not committing:
                self._state = State.EXPIRED
        self._over.set()
        if self._connection is not None:
            # Not here: it may have to wait for what the attempt's thread is doing.
            threading.Thread(target=self._break_off, daemon=True).start()
        if committing or self._in_doubt or (self._given is None and self._recorded is not None):
            return Outcome.UNKNOWN, None, error
        return Outcome.NOT_LANDED, None, error

    def _try(self) -> Found | None:
        """Try once; None where what has to be called isn't part of a transaction."""
        with self._room.turn() as self._turn:
            try:
                connection = self._room.guests.engine.connect()
            except Exception as error:
                raise Again from error
            try:
                return self._in_transaction(connection)
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                with self._guard:
                    self._connection = None
                    spoilt = self._over.is_set()
                with suppress(Exception):
                    if spoilt:
                        connection.invalidate()
                    connection.close()

    def _in_transaction(self, connection: Connection) -> Found | None:
        try:
            connection.begin()
            self._connection = connection
            self._limit_time()
            found = self._opened(connection)
        except Exception as error:  # noqa: BLE001 - the database's and the codec's: it is sorted there
            return self._broken(connection, error)
        if found is None and self._given is not None:
            try:
                found = self._closed(connection, self._work(connection))
            except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
                return self._failed(connection, error)
        return self._commit(connection, found)

    def _work(self, connection: Connection) -> Any:
        if self._given is None or not self._given.is_session:
            return self._call(connection)
        session = self._given.session(connection)
        try:
            result = self._call(session)
            session.commit()
        finally:
            session.close()
        return result

    def _commit(self, connection: Connection, found: Found | None) -> Found | None:
        if not self._may_commit():
            with suppress(Exception):
                connection.rollback()
            return Outcome.NOT_LANDED, None, self._timed_out()
        try:
            commit(connection, self._transaction)
        except CommittedByStep as error:
            return self._not_landed(error)
        except Exception as error:
            with suppress(Exception):
                connection.invalidate()
            if fault_of(error) is not Fault.TRANSIENT:
                # The server's own answer: a constraint that is checked at the end.
                return self._not_landed(error)
            self._in_doubt = True
            self._reopen()
            raise Again from error
        return found

    def _failed(self, connection: Connection, error: BaseException) -> Found:
        """Roll back: nothing of it has happened; of earlier attempts, nothing will from now on.

        Unless it has committed by SQL of its own: then its key's row is there.
        """
        doubtful = self._attempt.attempt > 1 or not self._goes_on(connection)
        certain = roll_back(connection)
        with self._guard:
            expired = self._state is State.EXPIRED
        if expired:
            return Outcome.NOT_LANDED, None, self._timed_out()
        if certain and doubtful and not self._attempt.undoing:
            with suppress(Exception):
                transaction = connection.begin()
                recorded = self._refuse(connection)
                commit(connection, transaction)
                if recorded.stand is Stand.LANDED:
                    return self._found(recorded)
                self.settled = True
        return self._not_landed(error)

    def _goes_on(self, connection: Connection) -> bool:
        """Tell whether the attempt's transaction surely goes on."""
        try:
            return self._room.guests.goes_on(connection, self._mark)
        except Exception:  # noqa: BLE001 - whatever the database says, it isn't yes
            return False

    def _broken(self, connection: Connection, error: Exception) -> Found:
        """Take an error of our own statements: the database is busy or away, or the record can't be read."""
        with suppress(Exception):
            connection.rollback()
        if fault_of(error) is Fault.ROW:
            return self._not_landed(error)
        with suppress(Exception):
            connection.invalidate()
        raise Again from error

    def _guarded(self, call: Callable[[], Any]) -> Found:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
            return Outcome.UNKNOWN, None, error
        return DONE

    def _limit_time(self) -> None:
        longest = self._longest()
        if longest is not None:
            self._timer = threading.Timer(longest, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def _expire(self) -> None:
        """End an attempt that has held the database for too long; one that commits already ends soon."""
        with self._guard:
            if self._state is not State.WORKING:
                return
            self._state = State.EXPIRED
        self._over.set()
        self._break_off()

    def _break_off(self) -> None:
        """Let the others have the database, whatever the attempt's thread is doing."""
        with self._guard:
            connection = self._connection
            if connection is not None:
                with suppress(Exception):
                    self._room.guests.break_off(connection)
        if connection is not None and self._turn is not None:
            self._turn.give_back()

    async def _try_async(self) -> Found | None:
        if self._given is None:
            return await asyncio.to_thread(self._try)
        try:
            engine = self._room.async_engine()
        except UnsupportedDatabase as error:
            self.answered = True
            return Outcome.NOT_LANDED, None, error
        async with self._room.turn_async():
            try:
                connection = await engine.connect()
            except Exception as error:
                raise Again from error
            try:
                return await self._in_transaction_async(connection)
            finally:
                await asyncio.shield(_closing(connection))

    async def _in_transaction_async(self, connection: AsyncConnection) -> Found | None:
        try:
            await connection.begin()
            found = await connection.run_sync(self._opened)
        except Exception as error:  # noqa: BLE001 - as in a thread
            return await connection.run_sync(self._broken, error)
        if found is None:
            scope = asyncio.timeout(self._longest())
            try:
                async with scope:
                    result = await self._work_async(connection)
                found = await connection.run_sync(self._closed, result)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it raises is its outcome
                if scope.expired():
                    self.stopped(error)
                return await connection.run_sync(self._failed, error)
        committing = asyncio.ensure_future(connection.run_sync(self._commit, found))
        try:
            return await asyncio.shield(committing)
        except asyncio.CancelledError:
            found = await committing
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return found

    async def _work_async(self, connection: AsyncConnection) -> Any:
        if self._given is None or not self._given.is_session:
            return await self._call(connection)
        session = self._given.session(connection)
        try:
            result = await self._call(session)
            await session.commit()
        finally:
            await session.close()
        return result

    def _longest(self) -> float | None:
        """Give the seconds that the database allows, where that is less than the step's time-out."""
        longest = self._room.guests.longest_ms
        return None if longest is None or longest >= self._attempt.timeout_ms else longest / 1000

    def _opened(self, connection: Connection) -> Found | None:
        """Look the key up and take it; gives what is known already, None where the work is to be done."""
        room, attempt = self._room, self._attempt
        self._transaction = connection.get_transaction()
        self._mark = room.guests.begun(connection, attempt.timeout_ms)
        if not attempt.undoing:
            found = room.transactions.enter(
                connection, attempt.key, attempt.run_id, attempt.attempt, room.now()
            )
            # Whoever was before has ended: what became of a COMMIT without a reply is known now.
            self._in_doubt = False
            return None if found.stand is Stand.NEW else self._found(found)
        found = room.transactions.undo(
            connection, attempt.forward_key, attempt.run_id, room.now(), mark=self._given is not None
        )
        self._in_doubt = False
        if found.stand is not Stand.LANDED:
            return DONE
        self._recorded = found
        return None

    def _found(self, found: Recorded) -> Found:
        self.settled = True
        if found.stand is Stand.LANDED:
            lost = result_lost(self._attempt) if found.result is None else None
            return Outcome.LANDED, found.result, lost
        what = "undone" if found.stand is Stand.UNDONE else "given up"
        self.answered = True
        return Outcome.NOT_LANDED, None, NoEffect(f"the transaction was {what} before this attempt came")

    def _call(self, *given: Any) -> Any:
        self.outbox.clear()
        attempt, recorded = self._attempt, self._recorded
        if recorded is not None and attempt.result is None:
            attempt = replace(attempt, result=recorded.result, outcome=Outcome.LANDED)
        return prepared(self._called, attempt, *given)()

    def _closed(self, connection: Connection, result: Any) -> Found:
        """Record what the work gave, and what leaves with it. Raises `AmendsError`: nothing has happened.

        Of these `CommittedByStep` where the work has ended the transaction: the key's row says what stands.
        """
        check_begun(connection, self._transaction)
        if not self._room.guests.goes_on(connection, self._mark):
            raise ended_itself(self._attempt)
        self.outbox.leave(connection)
        if self._attempt.undoing:
            return DONE
        found = landed(self._called, result, limit=self._limit)
        if found[2] is not None:
            raise found[2]
        self._room.transactions.keep(connection, self._attempt.key, found[1] or b"null")
        return found

    def _refuse(self, connection: Connection) -> Recorded:
        who = self._attempt
        return self._room.transactions.refuse(connection, who.key, who.run_id, who.attempt)

    def _not_landed(self, error: BaseException) -> Found:
        declared = self._called.options.no_effect if isinstance(self._called, Step) else ()
        final = (NoEffect, Fatal, ResultInvalid, PayloadTooLarge, *declared)
        self.answered = isinstance(error, final)
        return Outcome.NOT_LANDED, None, error

    def _may_commit(self) -> bool:
        with self._guard:
            if self._state is State.WORKING:
                self._state = State.COMMITTING
            return self._state is State.COMMITTING

    def _reopen(self) -> None:
        with self._guard:
            self._state = State.WORKING

    def _timed_out(self) -> StepTimeout:
        return timed_out(self._attempt, self._longest())


def transacting(room: Room | None, called: Called, attempt: Attempt, limit: int) -> Transacting | None:
    """Make what does an attempt of a transaction, or undoes one; None for anything else.

    Raises `DefinitionError` where there is no database.
    """
    known = called.step if isinstance(called, Compensation) else called
    if not isinstance(called, Step | Compensation) or not isinstance(known, Step) or known.given is None:
        return None
    if room is None:
        raise DefinitionError(
            f"{attempt.name!r} is a transaction, and here is no database: give the world an `engine`"
        )
    return Transacting(room, called, attempt, limit)


async def _closing(connection: AsyncConnection) -> None:
    with suppress(Exception):
        await connection.close()
