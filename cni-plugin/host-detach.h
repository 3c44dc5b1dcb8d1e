// A system call made by a child that outlives us; see host-detach.c.

#ifndef HOST_DETACH_H
#define HOST_DETACH_H

#include <stdint.h>

// Starts a child that closes descriptors 0 to 2 and `close`, makes the call (number and six arguments) and ends. What the call points to
// must not change any more. Returns the child's id, or −errno; −EAGAIN after four.
long detach(long close, const int64_t call[7]);

#endif
