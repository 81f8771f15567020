module gonvml

go 1.18

require github.com/NVIDIA/go-nvml v0.12.0-2
