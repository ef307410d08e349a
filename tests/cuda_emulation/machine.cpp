/* machine.cpp: the emulated machine of a plugin, from the environment: for end-to-end tests, which open it by a program.
 *
 *	EMU_MEMORY_MB	memory of the device
 *	EMU_DEVICES	how many there are
 *	EMU_INJECT	"CALL NTH ERROR [sticky]": the NTH call of CALL (from 0; "launch" for kernels) gives ERROR, a number
 *	EMU_DRIVER	the version of CUDA the driver is for, e.g. 12020; 0: there is none
 *	EMU_CC		compute capability, e.g. 75
 *	EMU_STREAMS	"lazy": nothing runs before the host waits for it; "drawn SEED": streams run ahead by a draw, too
 *	EMU_WAITS	a file that gets a line at the end: waits of the host, and those that left the device idle (EMU_LAZY) */
#include "cuda_runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void take_environment(void)
{
	const char *memory = getenv("EMU_MEMORY_MB"), *devices = getenv("EMU_DEVICES"), *inject = getenv("EMU_INJECT");
	const char *driver = getenv("EMU_DRIVER"), *cc = getenv("EMU_CC"), *streams = getenv("EMU_STREAMS");
	char call[64], sticky[16] = "";
	int nth, error;
	if (memory)
		emu_machine.memory_bytes = (size_t)strtoul(memory, NULL, 10) << 20;
	if (devices)
		emu_machine.devices = (int)strtol(devices, NULL, 10);
	if (driver)
		emu_machine.driver = (int)strtol(driver, NULL, 10);
	if (cc) {
		emu_machine.major = (int)strtol(cc, NULL, 10) / 10;
		emu_machine.minor = (int)strtol(cc, NULL, 10) % 10;
	}
	if (streams && strcmp(streams, "lazy") == 0)
		emu_set_streams(EMU_LAZY);
	if (streams && strncmp(streams, "drawn", 5) == 0)
		emu_set_streams(EMU_DRAWN, strtoul(streams + 5, NULL, 10));
	if (inject && sscanf(inject, "%63s %d %d %15s", call, &nth, &error, sticky) >= 3)
		emu_inject(call, nth, (cudaError_t)error, sticky[0] != 0);
}

__attribute__((destructor)) static void tell_waits(void)
{
	const char *path = getenv("EMU_WAITS");
	FILE *f = path ? fopen(path, "ae") : NULL;
	if (!f)
		return;
	fprintf(f, "%llu %llu\n", (unsigned long long)emu_waits().n, (unsigned long long)emu_waits().idle);
	fclose(f);
}
