"""A model server for tests and examples: it answers as a script says, in the form of OpenAI's two APIs.

`python server.py [--port 0] [--script script.json] [--function echo]` listens on the loopback alone
and prints its URL. A script is `{"answers": [], "function": null, "same": false, "check": true}`; README.md
beside this file says what an answer may be, and what is under `/control`.
"""

import argparse
import asyncio
import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
APIS = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}
LONGEST_POLL = 30.0
"""Seconds for which a question to `/control` waits for what it asks about."""
BIGGEST = 64 << 20


def echo(body: Json, _: str) -> Json:
    """Answer with the last thing that a person said."""
    said = [m.get("content") for m in messages_of(body) if m.get("role") == "user"]
    return {"text": str(said[-1]) if said else ""}


def call_then_answer(body: Json, _: str) -> Json:
    """Call the first tool that is offered, once, and then say what it gave."""
    given = [
        m for m in messages_of(body) if m.get("role") == "tool" or m.get("type") == "function_call_output"
    ]
    if given or not body.get("tools"):
        return {"text": f"done: {given[-1].get('content') or given[-1].get('output')}" if given else "done"}
    tool = body["tools"][0]
    return {"calls": [{"name": tool.get("name") or tool["function"]["name"], "arguments": {}}]}


FUNCTIONS: dict[str, Callable[[Json, str], Json]] = {"echo": echo, "call-then-answer": call_then_answer}


def messages_of(body: Json) -> list[Json]:
    """Give what was sent, in either form."""
    found = body.get("messages") or body.get("input") or []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def problem(body: Json, api: str) -> str | None:
    """Tell what OpenAI would refuse in a transcript: a call without its result, a result without its call."""
    if body.get("stream"):
        return "this server doesn't stream"
    if api == "responses":
        return _unpaired(messages_of(body))
    waiting: list[str] = []
    for message in messages_of(body):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = [call.get("id") for call in message.get("tool_calls") or ()]
        if len(set(waiting)) < len(waiting) or not all(waiting):
            return "the ids of tool_calls must be there and differ"
    told = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
    return f"{told} 'tool_call_id': {', '.join(waiting)}" if waiting else None


def _unpaired(items: list[Json]) -> str | None:
    asked: list[str] = []
    for item in items:
        if item.get("type") == "function_call":
            asked.append(str(item.get("call_id")))
        elif item.get("type") == "function_call_output":
            if item.get("call_id") not in asked:
                return f"No tool call found for function call output with call_id {item.get('call_id')}."
            asked.remove(str(item["call_id"]))
    return f"No tool output found for function call {asked[0]}." if asked else None


def rendered(answer: Json, api: str, model: str, number: int) -> Json:
    """Write an answer of a script in the form of an API."""
    calls = [
        {
            "id": call.get("id", f"call_{number}_{place}"),
            "name": call["name"],
            "arguments": call["arguments"]
            if isinstance(call.get("arguments"), str)
            # `raw` leaves an object an object, as some servers do.
            else (call.get("arguments") if call.get("raw") else json.dumps(call.get("arguments", {}))),
        }
        for place, call in enumerate(answer.get("calls", ()))
    ]
    usage = answer.get("usage", {"input": 100, "output": 20})
    return (_chat if api == "chat" else _responses)(answer, calls, usage, model, number)


def _chat(answer: Json, calls: list[Json], usage: Json | None, model: str, number: int) -> Json:
    message: Json = {"role": "assistant", "content": answer.get("text"), "refusal": answer.get("refusal")}
    if "reasoning" in answer:
        message["reasoning_content"] = answer["reasoning"]
    if calls:
        functions = [{"name": call["name"], "arguments": call["arguments"]} for call in calls]
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": function}
            for call, function in zip(calls, functions, strict=True)
        ]
    finish = answer.get("finish", "tool_calls" if calls else "stop")
    told: Json = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 0, "model": model}
    told["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    if usage is not None:
        told["usage"] = {"prompt_tokens": usage["input"], "completion_tokens": usage["output"]}
        told["usage"]["prompt_tokens_details"] = {"cached_tokens": usage.get("cached", 0)}
    return told


def _responses(answer: Json, calls: list[Json], usage: Json | None, model: str, number: int) -> Json:
    output: list[Json] = []
    if "reasoning" in answer:
        secret = hashlib.sha256(answer["reasoning"].encode()).hexdigest()
        output.append({"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": secret})
    for kind, word in (("output_text", "text"), ("refusal", "refusal")):
        if answer.get(word) is not None:
            part = {"type": kind, "annotations": [], word: answer[word]}
            said = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
            output.append({**said, "content": [part]})
    for place, call in enumerate(calls):
        named = {"call_id": call["id"], "name": call["name"], "arguments": call["arguments"]}
        output.append({"type": "function_call", "id": f"fc_{number}_{place}", "status": "completed", **named})
    cut = answer.get("finish") in ("max_output_tokens", "content_filter")
    told: Json = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "model": model,
        "output": output,
    }
    told["status"] = "incomplete" if cut else "completed"
    told["incomplete_details"] = {"reason": answer["finish"]} if cut else None
    if usage is not None:
        told["usage"] = {"input_tokens": usage["input"], "output_tokens": usage["output"]}
        told["usage"]["input_tokens_details"] = {"cached_tokens": usage.get("cached", 0)}
    return told


@dataclass(slots=True)
class Reply:
    """What goes back over the wire; `cut` after so many bytes of the body, None for all of it."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(slots=True)
class Script:
    """What is answered, and what was asked."""

    answers: list[Json] = field(default_factory=list)
    function: Callable[[Json, str], Json] | None = None
    same: bool = False
    check: bool = True
    asked: list[Json] = field(default_factory=list)
    given: dict[str, tuple[Json, int]] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def load(self, script: Json) -> None:
        """Take another script; what was asked stays on record unless it says `forget`."""
        name = script.get("function")
        if name is not None and name not in FUNCTIONS:
            raise ValueError(f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}")
        self.answers = [dict(answer) for answer in script.get("answers", ())]
        self.function = None if name is None else FUNCTIONS[name]
        self.same, self.check = script.get("same", False), script.get("check", True)
        if script.get("forget"):
            self.asked.clear()
        self.given.clear()
        self.released.clear()

    def choose(self, body: Json, api: str, raw: bytes) -> tuple[Json, int]:
        """Choose the answer to a request, and give it with the number that its ids are made of."""
        number = len(self.asked)
        wrong = problem(body, api) if self.check else None
        if wrong is not None:
            return {"status": 400, "error": {"message": wrong, "type": "invalid_request_error"}}, number
        digest = hashlib.sha256(api.encode() + raw).hexdigest()
        if self.same and digest in self.given:
            return self.given[digest]
        chosen = (self._next(body, api, raw), number)
        if not {"status", "cut", "drop", "raw"} & chosen[0].keys():
            self.given[digest] = chosen
        return chosen

    def _next(self, body: Json, api: str, raw: bytes) -> Json:
        if self.function is not None:
            return self.function(body, api)
        text = raw.decode("utf-8", "replace")
        for place, answer in enumerate(self.answers):
            if answer.get("when", "") in text:
                left = answer.get("times", 1) - 1
                if left:
                    self.answers[place] = {**answer, "times": left}
                else:
                    del self.answers[place]
                return answer
        return {"status": 400, "error": {"message": "the script has no answer left", "code": "script_ended"}}

    async def wait_for(self, true: Callable[[], bool]) -> None:
        """Wait until something is so, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_POLL), self.changed:
                await self.changed.wait_for(true)

    async def tell(self) -> None:
        """Wake those who wait."""
        async with self.changed:
            self.changed.notify_all()

    async def hold(self, name: str) -> None:
        """Hold an answer back until its name is released."""
        self.held.append(name)
        await self.tell()
        async with self.changed:
            await self.changed.wait_for(lambda: name in self.released)
        self.held.remove(name)


class Server:
    """Speaks HTTP/1.1, no more of it than clients of models need."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if length > BIGGEST:
            return False
        body = await reader.readexactly(length)
        path = urlsplit(target)
        reply: Reply | None
        if path.path.startswith("/control/"):
            reply = await self._control(method, path.path, parse_qs(path.query), body)
        else:
            reply = await self._model(path.path, headers, body)
        if reply is None:
            return False
        lines = {"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers}
        told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {reply.status} Scripted\r\n{told}\r\n".encode() + reply.body[: reply.cut])
        await writer.drain()
        return reply.cut is None

    async def _model(self, path: str, headers: dict[str, str], raw: bytes) -> Reply | None:
        api = APIS.get(path if path.startswith("/v1/") else f"/v1{path}")
        if api is None:
            return reply(404, {"error": {"message": f"there is nothing at {path}", "code": "not_found"}})
        try:
            body = json.loads(raw)
        except ValueError:
            return reply(400, {"error": {"message": "the request is no JSON"}})
        record = {"number": len(self.script.asked) + 1, "api": api, "headers": headers, "body": body}
        record["text"] = raw.decode()
        self.script.asked.append(record)
        answer, number = self.script.choose(body, api, raw)
        await self.script.tell()
        if "hold" in answer:
            await self.script.hold(answer["hold"])
        await asyncio.sleep(answer.get("wait", 0))
        return _reply_of(answer, api, str(body.get("model")), number)

    async def _control(self, method: str, path: str, query: dict[str, list[str]], raw: bytes) -> Reply:
        script, least = self.script, int(query.get("at_least", ["0"])[0])
        match method, path:
            case "PUT", "/control/script":
                try:
                    script.load(json.loads(raw))
                except ValueError as error:
                    return reply(400, {"error": str(error)})
                return reply(200, {})
            case "GET", "/control/requests":
                await script.wait_for(lambda: len(script.asked) >= least)
                return reply(200, script.asked)
            case "GET", "/control/held":
                await script.wait_for(lambda: len(script.held) >= least)
                return reply(200, script.held)
            case "POST", "/control/release":
                names = [json.loads(raw)["name"]] if raw else script.held
                script.released.update(names)
                await script.tell()
                return reply(200, {})
        return reply(404, {"error": f"there is nothing to {method} at {path}"})


def reply(status: int, body: Any, **headers: str) -> Reply:
    """Answer with JSON."""
    return Reply(status, json.dumps(body).encode(), headers)


def _reply_of(answer: Json, api: str, model: str, number: int) -> Reply | None:
    if answer.get("drop"):
        return None
    headers = {str(name): str(value) for name, value in answer.get("headers", {}).items()}
    status = answer.get("status", 200)
    if "raw" in answer:
        return Reply(status, answer["raw"].encode("utf-8", "surrogatepass"), headers)
    if "json" in answer:
        told = answer["json"]
    elif status >= 400:
        told = {"error": {"message": f"scripted {status}", **answer.get("error", {})}}
    else:
        told = rendered(answer, api, model, number)
    body = json.dumps(told).encode()
    cut = math.ceil(len(body) / 2) if answer.get("cut") else None
    return Reply(status, body, headers, cut)


async def main(port: int, script: Json) -> None:
    """Serve until the process is ended."""
    state = Script()
    state.load(script)
    listener = await asyncio.start_server(Server(state).serve, "127.0.0.1", port, limit=1 << 20)
    print(f"model server: http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1", flush=True)
    async with listener:
        await listener.serve_forever()


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for one that is free")
    parser.add_argument("--script", type=Path, help="a file in JSON with what to answer")
    parser.add_argument("--function", choices=sorted(FUNCTIONS), help="answer by this function instead")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    loaded = json.loads(given.script.read_text(encoding="utf-8")) if given.script else {}
    with suppress(KeyboardInterrupt):
        asyncio.run(main(given.port, loaded | ({"function": given.function} if given.function else {})))
