"""What holds for every test."""

import signal

# A shell that starts a job in the background makes it ignore Ctrl-C, and with it every program
# that a test starts: the tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
