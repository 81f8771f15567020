/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the fake driver share: fake_driver.c has plain memory and
 * contexts, fake_objects.c physical objects, pools and graphs, fake_pool.c where
 * pools have memory.
 */
#ifndef HAMI_TESTS_FAKE_OBJECTS_H
#define HAMI_TESTS_FAKE_OBJECTS_H

#include <glib.h>
#include <pthread.h>

#include "fake_driver.h"

#define FAKE_PAGE (UINT64_C(2) << 20)
#define FAKE_POOL_PAGES 512

struct fake_pool {
    unsigned device;
    bool host, destroyed;
    uint64_t reserved, used, threshold;
    CUdeviceptr base;
    GArray *places; /* of blocks, in order; NULL = none yet */
    bool mapped[FAKE_POOL_PAGES];
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

/* fake_pool.c; under the lock */
bool fake_pool_take(struct fake_pool *p, uint64_t n, CUdeviceptr *ret);
void fake_pool_give(struct fake_pool *p, CUdeviceptr ptr, uint64_t n); /* a block of n bytes left it */
void fake_pool_trim(struct fake_pool *p, uint64_t keep);
void fake_pool_end(struct fake_pool *p); /* when it is destroyed and nothing lives in it */

/* fake_objects.c */
void fake_objects_begin(void); /* also fills its part of `real` */
void fake_objects_end(void);

#endif
