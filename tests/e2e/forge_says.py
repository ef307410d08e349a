#!/usr/bin/env python3
"""forge_says.py PORT-FILE STATUS  A forge on 127.0.0.1 that answers every request with one status; its port goes to the file."""
import http.server
import os
import sys


class Forge(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(int(sys.argv[2]))
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Forge)
with open(sys.argv[1] + ".new", "w", encoding="ascii") as f:
    f.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
