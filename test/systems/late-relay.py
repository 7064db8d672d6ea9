"""late-relay.py DEVICE DELAY_MS: makes a TUN device, and puts each packet that is routed into it back after the delay, in the same order.

It loses a packet only when the kernel's own queue of the device is full. When it dies, the device goes with it, and nothing is forwarded any more.
"""
import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001

device, delay = sys.argv[1], float(sys.argv[2]) / 1000
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN_NO_PI))
held = collections.deque()
while True:
    wait = max(0.0, held[0][0] - time.monotonic()) if held else None
    ready, _, _ = select.select([tun], [], [], wait)
    if ready:
        try:
            while True:
                held.append((time.monotonic() + delay, os.read(tun, 65535)))
        except BlockingIOError:
            pass
    now = time.monotonic()
    while held and held[0][0] <= now:
        packet = held.popleft()[1]
        try:
            os.write(tun, packet)
        except OSError:
            # The device is not up yet, or the kernel refuses this one packet (IPv6 noise): a network may lose packets.
            pass
