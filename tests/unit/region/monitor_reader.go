// SPDX-License-Identifier: Apache-2.0

// Reads a region as the field's monitor does: by casting the mapped file to
// Go structs of its shape. Prints one "name value" per line.
package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

const maxDevices, maxProcesses = 16, 1024

type deviceMemory struct {
	contextSize, moduleSize, dataSize, offset, total uint64
	unused                                           [3]uint64
}

type deviceUtilization struct {
	decUtil, encUtil, smUtil uint64
	unused                   [3]uint64
}

type slot struct {
	pid, hostpid int32
	used         [maxDevices]deviceMemory
	monitorused  [maxDevices]uint64
	deviceUtil   [maxDevices]deviceUtilization
	status       int32
	unused       [3]uint64
}

type region struct {
	initializedFlag                          int32
	majorVersion, minorVersion, smInitFlag   int32
	ownerPid                                 uint32
	sem                                      [32]byte
	num                                      uint64
	uuids                                    [maxDevices][96]byte
	limit, smLimit                           [maxDevices]uint64
	procs                                    [maxProcesses]slot
	procnum, utilizationSwitch, recentKernel int32
	priority                                 int32
	lastKernelTime                           int64
	unused                                   [4]uint64
}

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(region{})), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r := (*region)(unsafe.Pointer(&data[0]))
	fmt.Println("magic", r.initializedFlag)
	fmt.Println("version", r.majorVersion, r.minorVersion)
	fmt.Println("devices", r.num)
	for d := uint64(0); d < r.num && d < maxDevices; d++ {
		var used, modules, buffers, contexts uint64
		for i := int32(0); i < r.procnum && i < maxProcesses; i++ {
			used += r.procs[i].used[d].total
			modules += r.procs[i].used[d].moduleSize
			buffers += r.procs[i].used[d].dataSize
			contexts += r.procs[i].used[d].contextSize
		}
		uuid := r.uuids[d][:]
		fmt.Println("device", d, string(uuid[:bytes.IndexByte(uuid, 0)]), r.limit[d], r.smLimit[d], used, contexts, modules, buffers)
	}
	fmt.Println("processes", r.procnum, "first", r.procs[0].pid, r.procs[0].status)
	fmt.Println("switch", r.utilizationSwitch, "recent", r.recentKernel, "priority", r.priority)
}
