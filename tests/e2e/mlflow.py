#!/usr/bin/env python3
"""A model registry on the loopback that speaks as much of MLflow's REST 2.0 as a mirror needs, made from what MLflow 3.17 answers.

    mlflow.py PORTFILE [plain|ill] writes its port into PORTFILE and serves until it is killed

Models, versions (numbered as they come, listed in pages of 2, newest first), tags, aliases; "Authorization: Bearer tok" is asked for.
ill: every third request is answered 503. /_state shows all of it."""
import json, sys, threading, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

mode = sys.argv[2] if len(sys.argv) > 2 else "plain"
models, lock, count = {}, threading.Lock(), [0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, doc):
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer(status, {"error_code": code, "message": message})

    def serve(self, doc):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/_state":
            return self.answer(200, models)
        count[0] += 1
        if mode == "ill" and count[0] % 3 == 0:
            return self.refuse(503, "TEMPORARILY_UNAVAILABLE", "later")
        if self.headers.get("Authorization") != "Bearer tok":
            return self.refuse(401, "UNAUTHENTICATED", "who are you?")
        if not url.path.startswith("/api/2.0/mlflow/"):
            return self.answer(404, {})
        what, name = url.path[len("/api/2.0/mlflow/"):], doc.get("name", query.get("name"))
        if what == "model-versions/search":
            name = query["filter"].split("=", 1)[1].strip("'\"")
        model = models.get(name)
        if what == "registered-models/create":
            if model:
                return self.refuse(400, "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.")
            models[name] = {"versions": [], "aliases": {}}
            return self.answer(200, {"registered_model": {"name": name}})
        if not model:
            return self.refuse(404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")
        versions = model["versions"]
        if what == "registered-models/get":
            return self.answer(200, {"registered_model": {"name": name, "aliases": [
                {"alias": a, "version": v} for a, v in model["aliases"].items()]}})
        if what == "model-versions/create":
            versions.append({"name": name, "version": str(len(versions) + 1), "source": doc["source"], "tags": doc["tags"]})
            return self.answer(200, {"model_version": versions[-1]})
        if what == "model-versions/search":
            at = int(query.get("page_token", "0"))
            page = {"model_versions": versions[::-1][at:at + 2]}
            if at + 2 < len(versions):
                page["next_page_token"] = str(at + 2)
            return self.answer(200, page)
        if what == "registered-models/alias":
            if doc["alias"] == "latest" or doc["alias"][0] == "v" and doc["alias"][1:].isdigit():
                return self.refuse(400, "INVALID_PARAMETER_VALUE", f"Version alias name '{doc['alias']}' is reserved.")
            model["aliases"][doc["alias"]] = doc["version"]
            return self.answer(200, {})
        if what == "model-versions/set-tag":
            tags = versions[int(doc["version"]) - 1]["tags"]
            tags[:] = [t for t in tags if t["key"] != doc["key"]] + [{"key": doc["key"], "value": doc["value"]}]
            return self.answer(200, {})
        return self.answer(404, {})

    def do_GET(self):
        with lock:
            self.serve({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with lock:
            self.serve(json.loads(body))


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as f:
    f.write(str(server.server_port))
server.serve_forever()
