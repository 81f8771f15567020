// SPDX-License-Identifier: Apache-2.0

// Lists the devices through NVIDIA's Go bindings, one "key value" per line.
package main

import (
	"fmt"
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func must[T any](value T, ret nvml.Return) T {
	if ret != nvml.SUCCESS {
		fmt.Fprintln(os.Stderr, "gonvml:", nvml.ErrorString(ret))
		os.Exit(1)
	}
	return value
}

func main() {
	if ret := nvml.Init(); ret != nvml.SUCCESS {
		fmt.Fprintln(os.Stderr, "gonvml: init:", nvml.ErrorString(ret))
		os.Exit(1)
	}
	defer nvml.Shutdown()
	fmt.Println("driver", must(nvml.SystemGetDriverVersion()))
	count := must(nvml.DeviceGetCount())
	fmt.Println("count", count)
	for i := 0; i < count; i++ {
		device := must(nvml.DeviceGetHandleByIndex(i))
		uuid := must(device.GetUUID())
		memory := must(device.GetMemoryInfo())
		memory2 := must(device.GetMemoryInfo_v2())
		again := must(nvml.DeviceGetHandleByUUID(uuid))
		fmt.Println("name", must(device.GetName()))
		fmt.Println("uuid", uuid)
		fmt.Println("index", must(again.GetIndex()))
		fmt.Println("total", memory.Total)
		fmt.Println("total2", memory2.Total)
		fmt.Println("used", memory.Used)
		fmt.Println("processes", len(must(device.GetComputeRunningProcesses())))
	}
}
