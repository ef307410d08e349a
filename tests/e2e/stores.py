#!/usr/bin/env python3
"""Storage servers on the loopback, made from their documented protocols: an S3 bucket, and GitLab's generic packages.

    stores.py PORTFILE [plain|ill|noconditions] writes its port into PORTFILE and serves until it is killed

S3: PUT, GET with ranges, HEAD, ListObjectsV2 in pages of 7, multipart uploads, If-None-Match, x-amz-content-sha256 compared with the
body, and Signature Version 4 calculated again from the request (key AK, secret SK). GitLab: PUT and GET of files, packages and
package_files in pages, JOB-TOKEN or PRIVATE-TOKEN "tok"; a file is handed out by a redirection to a place that refuses tokens.
ill: every third request is answered 503, or cut off in the middle. noconditions: If-None-Match is ignored.
"""
import hashlib, hmac, json, sys, threading, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

mode = sys.argv[2] if len(sys.argv) > 2 else "plain"
lock = threading.Lock()
keys, uploads, files, count = {}, {}, [], [0]
seen = []  # what a test may ask for: /_seen


def signature(h, method, path, query, body_sha):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    auth = h.get("Authorization", "")
    parts = dict(p.strip().split("=", 1) for p in auth.split(" ", 1)[1].split(","))
    _, day, region, service, _ = parts["Credential"].split("/")
    names = parts["SignedHeaders"].split(";")
    pairs = sorted(tuple(p.split("=", 1)) if "=" in p else (p, "") for p in query.split("&")) if query else []
    canonical = "\n".join(
        [method, path, "&".join(f"{k}={v}" for k, v in pairs)]
        + [f"{n}:{' '.join((h.get(n) or '').split())}" for n in names] + ["", ";".join(names), body_sha])
    text = "\n".join(["AWS4-HMAC-SHA256", h["X-Amz-Date"], f"{day}/{region}/{service}/aws4_request",
                      hashlib.sha256(canonical.encode()).hexdigest()])
    k = b"AWS4SK"
    for part in (day, region, service, "aws4_request"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    good = hmac.new(k, text.encode(), hashlib.sha256).hexdigest()
    return parts["Credential"].startswith("AK/") and "x-amz-content-sha256" in names and good == parts["Signature"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("length", len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>")

    def content(self, data):
        start = 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"][6:-1])
            if start >= len(data):
                return self.refuse(416, "InvalidRange")
        part = data[start:]
        if mode == "ill" and len(part) > 60000:  # half of it, then nothing
            self.answer(206 if start else 200, part[: len(part) // 2], length=len(part))
            self.close_connection = True
            return None
        return self.answer(206 if start else 200, part)

    def serve(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if url.path == "/_seen":
            return self.answer(200, json.dumps(seen))
        with lock:
            count[0] += 1
            seen.append(f"{self.command} {self.path}")
            if mode == "ill" and count[0] % 3 == 0:
                return self.refuse(503, "SlowDown")
            if url.path.startswith("/api/v4/") or url.path.startswith("/elsewhere/"):
                return self.gitlab(url.path, query, body)
            sha = self.headers.get("x-amz-content-sha256", "")
            if not signature(self.headers, self.command, url.path, url.query, sha):
                return self.refuse(403, "SignatureDoesNotMatch")
            if hashlib.sha256(body).hexdigest() != sha:
                return self.refuse(400, "XAmzContentSHA256Mismatch")
            return self.s3(url.path, query, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve

    # ---- S3 ----
    def s3(self, path, query, body):
        key = path[len("/bucket/"):]
        if not path.startswith("/bucket/"):
            return self.refuse(404, "NoSuchBucket")
        if "list-type" in query:
            return self.s3_list(query)
        if "uploads" in query and self.command == "GET":
            rows = "".join(f"<Upload><Key>{k}</Key><UploadId>{i}</UploadId></Upload>" for i, (k, _) in uploads.items())
            return self.answer(200, f"<R>{rows}</R>")
        if "uploads" in query:
            i = f"up load+{len(uploads)}"
            uploads[i] = (key, {})
            return self.answer(200, f"<R><UploadId>{i}</UploadId></R>")
        if "uploadId" in query:
            return self.s3_part(key, query, body)
        if self.command == "PUT":
            if self.headers.get("If-None-Match") == "*" and key in keys and mode != "noconditions":
                return self.refuse(412, "PreconditionFailed")
            keys[key] = body
            return self.answer(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        if key not in keys:
            return self.refuse(404, "NoSuchKey")
        return self.content(keys[key])

    def s3_list(self, query):
        names = sorted(k for k in keys if k.startswith(query["prefix"]))
        start = int(query.get("continuation-token", "at/0")[3:])
        rows = "".join(f"<Contents><Key>{k}</Key><Size>{len(keys[k])}</Size></Contents>" for k in names[start:start + 7])
        more = start + 7 < len(names)
        if more and mode != "hollow":
            rows += f"<NextContinuationToken>at/{start + 7}</NextContinuationToken>"
        whole = f'<?xml version="1.0"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>{str(more).lower()}</IsTruncated>{rows}</ListBucketResult>'
        if mode == "hollow":  # what is no listing, by the first name of the prefix
            hollow = {"html": "<html>log in</html>", "empty": "", "json": "{}", "error": "<Error><Code>SlowDown</Code></Error>",
                      "half": whole[:len(whole) // 2]}
            return self.answer(200, hollow.get(query["prefix"].split("/")[0], whole))
        return self.answer(200, whole)

    def s3_part(self, key, query, body):
        if query["uploadId"] not in uploads:
            return self.refuse(404, "NoSuchUpload")
        parts = uploads[query["uploadId"]][1]
        if self.command == "GET":
            rows = "".join(f'<Part><PartNumber>{n}</PartNumber><ETag>"{hashlib.md5(b).hexdigest()}"</ETag></Part>'
                           for n, b in sorted(parts.items()))
            return self.answer(200, f"<R>{rows}</R>")
        if self.command == "PUT":
            parts[int(query["partNumber"])] = body
            return self.answer(200, ETag='"%s"' % hashlib.md5(body).hexdigest())
        keys[key] = b"".join(parts[n] for n in sorted(parts))
        del uploads[query["uploadId"]]
        return self.answer(200, "<R><ETag>x</ETag></R>")

    # ---- GitLab: https://docs.gitlab.com/user/packages/generic_packages/ and /api/packages/ ----
    def gitlab(self, path, query, body):
        if path.startswith("/elsewhere/"):
            if self.headers.get("JOB-TOKEN") or self.headers.get("PRIVATE-TOKEN"):
                return self.answer(400, '{"message":"a token came along"}')
            return self.content(files[int(path[11:])]["data"])
        if "tok" not in (self.headers.get("JOB-TOKEN"), self.headers.get("PRIVATE-TOKEN")):
            return self.answer(401, '{"message":"401 Unauthorized"}')
        parts = path.split("/")[3:]
        if parts[:2] != ["projects", "7"]:
            return self.answer(404, '{"message":"404 Project Not Found"}')
        if parts[2:4] == ["packages", "generic"]:
            name, version, file = parts[4:7]
            if self.command == "PUT":
                files.append({"id": len(files) + 1, "name": name, "version": version, "file": file, "data": body})
                return self.answer(201, '{"message":"201 Created"}')
            for f in reversed(files):
                if (f["name"], f["version"], f["file"]) == (name, version, file):
                    return self.answer(302, Location=f"/elsewhere/{f['id'] - 1}")
            return self.answer(404, '{"message":"404 Not found"}')
        versions = sorted({(f["name"], f["version"]) for f in files})
        rows = [{"id": i + 100, "name": n, "version": v} for i, (n, v) in enumerate(versions)]
        if len(parts) == 3:
            rows = [r for r in rows if query["package_name"] in r["name"] and query["package_version"] == r["version"]]
        else:
            n, v = versions[int(parts[3]) - 100]
            rows = [{"id": f["id"], "file_name": f["file"], "size": len(f["data"])} for f in files
                    if (f["name"], f["version"]) == (n, v)]
        size, page = int(query.get("per_page", 20)), int(query.get("page", 1))
        return self.answer(200, json.dumps(rows[(page - 1) * size:page * size]))


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(sys.argv[1] + ".tmp", "w") as f:
    f.write(str(server.server_port))
import os
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
server.serve_forever()
