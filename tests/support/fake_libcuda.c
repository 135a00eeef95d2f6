/* A CUDA driver without a GPU: memory of the device is memory of the host, and every stream does
 * its work at once. It knows what pycuda needs of it for the runtime, counts what is alive, wants
 * a context where CUDA wants one, and fails for good from call FAKE_CUDA_DIES_AT of uploads on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OUT_OF_MEMORY 2
#define INVALID_CONTEXT 201
#define ILLEGAL_ADDRESS 700
#define NEEDS_CONTEXT                                                                              \
    if (depth == 0) return INVALID_CONTEXT;                                                        \
    if (dead) return ILLEGAL_ADDRESS;

static __thread int depth;
static __thread void *stack[64];
static int dead, uploads, memory, pinned, streams, events, retained;

int fake_alive(void) { return memory + pinned + streams + events; }
int fake_depth(void) { return depth; }
int fake_retained(void) { return retained; }

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY      ? "out of memory"
            : error == INVALID_CONTEXT  ? "invalid device context"
            : error == ILLEGAL_ADDRESS  ? "an illegal memory access was encountered"
                                        : "operation not supported";
    return 0;
}
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "No GPU", size); return 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 9; *minor = 0; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = &retained; return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { retained--; return 0; }
int cuCtxPushCurrent_v2(void *context) { stack[depth++] = context; return 0; }
int cuCtxPopCurrent_v2(void **context) {
    if (depth == 0) return INVALID_CONTEXT;
    *context = stack[--depth];
    return 0;
}
int cuCtxSynchronize(void) { NEEDS_CONTEXT return 0; }
int cuMemAlloc_v2(uint64_t *address, size_t size) {
    NEEDS_CONTEXT
    const char *most = getenv("FAKE_CUDA_MOST_BYTES");
    if (most && size > (size_t)atol(most)) return OUT_OF_MEMORY;
    void *found = aligned_alloc(256, (size + 255) / 256 * 256);
    memset(found, 0xFF, size);
    *address = (uint64_t)found;
    memory++;
    return 0;
}
int cuMemFree_v2(uint64_t address) {
    if (depth == 0) return INVALID_CONTEXT;
    free((void *)address);
    memory--;
    return 0;
}
int cuMemHostAlloc(void **pages, size_t size, unsigned flags) {
    NEEDS_CONTEXT
    *pages = malloc(size);
    memset(*pages, 0xFF, size);
    pinned++;
    return 0;
}
int cuMemFreeHost(void *pages) {
    if (depth == 0) return INVALID_CONTEXT;
    free(pages);
    pinned--;
    return 0;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
    NEEDS_CONTEXT
    const char *at = getenv("FAKE_CUDA_DIES_AT");
    dead = at && ++uploads >= atoi(at);
    memcpy((void *)to, from, size);
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
    NEEDS_CONTEXT
    memcpy(to, (void *)from, size);
    return 0;
}
int cuStreamCreate(void **stream, unsigned flags) {
    NEEDS_CONTEXT
    *stream = (void *)(uintptr_t)++streams;
    return 0;
}
int cuStreamDestroy_v2(void *stream) {
    if (depth == 0) return INVALID_CONTEXT;
    streams--;
    return 0;
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { NEEDS_CONTEXT return 0; }
int cuEventCreate(void **event, unsigned flags) {
    NEEDS_CONTEXT
    if (flags != 3) return 1; /* BLOCKING_SYNC | DISABLE_TIMING */
    *event = (void *)(uintptr_t)++events;
    return 0;
}
int cuEventDestroy_v2(void *event) {
    if (depth == 0) return INVALID_CONTEXT;
    events--;
    return 0;
}
int cuEventRecord(void *event, void *stream) { NEEDS_CONTEXT return stream ? 0 : 1; }
int cuEventSynchronize(void *event) { NEEDS_CONTEXT return 0; }
