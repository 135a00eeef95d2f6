#!/usr/bin/python3
"""An RTSP camera by GStreamer that plays H.264 access units in a loop and never ends.

usage: rtsp_camera.py PORT UNITS FPS [USER:PASSWORD|-] [CERT.pem] -> rtsp://127.0.0.1:PORT/cam
With a certificate (and its key in the same file) it speaks TLS: rtsps://.
UNITS holds access units (byte stream), each after its length as a big-endian u32; the first one
is a key frame. Prints "ready" when it listens. Runs under the system's Python, which has gi:
apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
"""

import pathlib
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( appsrc name=source is-live=true format=time block=false max-bytes=4000000 "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def read_units(path):
    """Return the access units of a file."""
    data = pathlib.Path(path).read_bytes()
    units, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        units.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return units


class Player:
    """Pushes units into the media's appsrc, each at its own due time."""

    def __init__(self, units, fps):
        self.units = units
        self.fps = fps
        self.generation = 0

    def attach(self, _factory, media):
        """Begin to play into a media that was just made."""
        self.generation += 1
        source = media.get_element().get_by_name_recurse_up("source")
        self.push(source, self.generation, 0, GLib.get_monotonic_time())

    def push(self, source, generation, sent, began_us):
        """Hand over one unit and plan the next; ends with its media."""
        if generation != self.generation:
            return False
        buffer = Gst.Buffer.new_wrapped(self.units[sent % len(self.units)])
        buffer.pts = buffer.dts = sent * Gst.SECOND // self.fps
        buffer.duration = Gst.SECOND // self.fps
        if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK and sent > 0:
            return False
        due_us = began_us + (sent + 1) * 1_000_000 // self.fps
        wait_ms = max(0, (due_us - GLib.get_monotonic_time()) // 1000)
        GLib.timeout_add(wait_ms, self.push, source, generation, sent + 1, began_us)
        return False


def ask_login(auth, factory, login):
    """Serve only those who bring Basic credentials."""
    user, _, password = login.partition(":")
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    rights = "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
    factory.add_role_from_structure(Gst.Structure.new_from_string(rights))


def main():
    Gst.init(None)
    port, path, fps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    player = Player(read_units(path), fps)
    factory.connect("media-configure", player.attach)
    login, certificate = [*sys.argv[4:6], *("-", "")[len(sys.argv[4:6]) :]]
    auth = GstRtspServer.RTSPAuth()
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    if login != "-":
        ask_login(auth, factory, login)
    if certificate or login != "-":
        server.set_auth(auth)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
