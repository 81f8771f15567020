/* SPDX-License-Identifier: Apache-2.0
 *
 * Included into every file of libvgpu.so by the build. Functions that a C
 * library before 2.34 keeps in libdl or libpthread cannot be imported: a
 * process that loads neither would not start with this library preloaded, and
 * naming the two as dependencies costs every process 70 microseconds. They are
 * looked up when first called (late.c); a process that uses a GPU has them,
 * the driver itself needs them. tools/lint/symbols checks the imports.
 */
#ifndef HAMI_PRELOAD_GLIBC_H
#define HAMI_PRELOAD_GLIBC_H
#ifndef __ASSEMBLER__

#define dladdr late_dladdr
#define dladdr1 late_dladdr1
#define dlclose late_dlclose
#define dlinfo late_dlinfo
#define dlopen late_dlopen
#define pthread_attr_setstacksize late_pthread_attr_setstacksize
#define pthread_create late_pthread_create
#define pthread_detach late_pthread_detach
#define pthread_join late_pthread_join
#define pthread_mutex_consistent late_pthread_mutex_consistent
#define pthread_mutex_timedlock late_pthread_mutex_timedlock
#define pthread_mutex_trylock late_pthread_mutex_trylock

#endif
#endif
