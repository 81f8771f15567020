/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the fake driver share: fake_driver.c has plain memory
 * and contexts, fake_objects.c physical objects, pools and graphs.
 */
#ifndef HAMI_TESTS_FAKE_OBJECTS_H
#define HAMI_TESTS_FAKE_OBJECTS_H

#include <pthread.h>

#include "fake_driver.h"

struct fake_pool {
    unsigned device;
    bool host, destroyed;
    uint64_t reserved, used, threshold;
    unsigned live;
};

/* fake_driver.c */
extern pthread_mutex_t fake_lock;
bool fake_fails(CUresult *ret);
bool fake_take(int device, uint64_t n);
void fake_give(int device, uint64_t n);
CUresult fake_block_new(CUdeviceptr *ret, uint64_t n, int device, bool managed, struct fake_pool *pool);
CUresult fake_free(CUdeviceptr ptr);
CUdeviceptr fake_address(uint64_t n);
unsigned fake_current_device(void);

/* fake_objects.c; under the lock: a block of n bytes left the pool */
void fake_pool_give(struct fake_pool *p, uint64_t n);
void fake_objects_begin(void); /* also fills its part of `real` */
void fake_objects_end(void);

#endif
