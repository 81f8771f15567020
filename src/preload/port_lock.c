/* SPDX-License-Identifier: Apache-2.0
 *
 * The lock of port.h: a futex with three states, never held over a call
 * outside.
 */
#include <stdatomic.h>

#include "preload/port.h"

#define AGAIN_NS UINT64_C(1000000000)

void port_lock(struct port_lock *lock)
{
    uint32_t seen = 0;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, 1, memory_order_acquire,
                                                memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) != 0)
        port.wait(&lock->word, 2, port.now() + AGAIN_NS, false);
}

void port_unlock(struct port_lock *lock)
{
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
        port.wake(&lock->word, false);
}
