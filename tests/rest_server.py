"""Answers `predict` requests for a SavedModel as TF Serving's REST interface does, on a free port of this machine, which it prints.

python rest_server.py FOLDER
"""

import http.server
import json
import sys

sys.modules["scnas_keras"] = None  # importing it fails

import tensorflow as tf  # noqa: E402

MODEL = tf.saved_model.load(sys.argv[1])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        function = MODEL.signatures[request.get("signature_name", "serving_default")]
        specs = function.structured_input_signature[1]
        try:
            outputs = function(**{name: tf.constant(value, specs[name].dtype) for name, value in request["inputs"].items()})
        except tf.errors.InvalidArgumentError as error:
            return self.answer(400, {"error": str(error)})
        values = {name: value.numpy().tolist() for name, value in outputs.items()}
        return self.answer(200, {"outputs": values if len(values) > 1 else [*values.values()][0]})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
