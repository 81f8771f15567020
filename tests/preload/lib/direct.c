/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that is linked to libvgpu.so directly and finds whatever driver
 * there is: tells what each entry answers.
 */
#include <errno.h>
#include <stdio.h>

#include "abi/cuda_api.h"
#include "abi/nvml_api.h"

int main(void)
{
    CUdeviceptr p = 42;
    size_t free_bytes = 43, total = 44;
    unsigned n = 45;
    errno = 46;
    printf("cuInit %d\n", cuInit(0));
    printf("cuMemAlloc_v2 %d\n", cuMemAlloc_v2(&p, 1024));
    printf("cuMemGetInfo_v2 %d\n", cuMemGetInfo_v2(&free_bytes, &total));
    printf("cuCtxCreate_v4 %d\n", cuCtxCreate_v4(NULL, NULL, 0, 0));
    printf("nvmlInit_v2 %d\n", nvmlInit_v2());
    printf("nvmlDeviceGetComputeRunningProcesses_v3 %d\n",
           nvmlDeviceGetComputeRunningProcesses_v3(NULL, &n, NULL));
    printf("outputs %d errno %d\n", p == 42 && free_bytes == 43 && total == 44 && n == 45, errno);
    return 0;
}
