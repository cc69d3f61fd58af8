#!/usr/bin/python3
"""A server for fetch.test. /HOW/FILE sends FILE of the current folder; HOW is what goes wrong:
ok, norange (everything whatever was asked), cut (half of what is left, then nothing), wrong (other bytes), slow,
oddrange (206 from the beginning), endless (no size, no end), redirect, loop, tofile, error, busy (503 twice).
Requests are told in the file `requests`, the port in the file `port`."""
import http.server, os, socketserver, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    seen = {}

    def log_message(self, *words):
        pass

    def redirect(self, where):
        self.send_response(302)
        self.send_header('Location', where)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def fail(self, code):
        self.send_response(code)
        self.send_header('Content-Length', '4')
        self.end_headers()
        self.wfile.write(b'oops')

    def endless(self):
        self.send_response(200)
        self.send_header('Connection', 'close')
        self.end_headers()
        while True:
            self.wfile.write(bytes(65536))

    def do_GET(self):
        how, name = self.path.split('/')[1:3]
        asked = self.headers.get('Range', '')
        with open('requests', 'a') as f:
            f.write('%s %s %s\n' % (how, name, asked))
        count = Handler.seen[self.path] = Handler.seen.get(self.path, 0) + 1
        self.close_connection = True
        if how == 'redirect':
            return self.redirect('/ok/' + name)
        if how == 'loop':
            return self.redirect(self.path)
        if how == 'tofile':
            return self.redirect('file:///etc/hostname')
        if how == 'error' or not os.path.exists(name):
            return self.fail(404)
        if how == 'busy' and count < 3:
            return self.fail(503)
        if how == 'endless':
            return self.endless()
        data = open(name, 'rb').read()
        first = int(asked[6:].split('-')[0]) if asked and how != 'norange' else 0
        if first >= len(data) > 0 and first:
            return self.fail(416)
        if how == 'wrong':
            data = bytes(b ^ 1 for b in data)
        start = 0 if how == 'oddrange' else first
        rest = data[start:]
        self.send_response(206 if first else 200)
        self.send_header('Content-Length', str(len(rest)))
        if first:
            self.send_header('Content-Range', 'bytes %d-%d/%d' % (start, len(data) - 1, len(data)))
        self.end_headers()
        if how == 'cut' and len(rest) > 1000:
            rest = rest[:len(rest) // 2]
        for i in range(0, len(rest), 4096):
            self.wfile.write(rest[i:i + 4096])
            if how == 'slow':
                time.sleep(0.05)

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass

server = Server(('127.0.0.1', 0), Handler)
with open('port.new', 'w') as f:
    f.write(str(server.server_address[1]))
os.rename('port.new', 'port')
server.serve_forever()
