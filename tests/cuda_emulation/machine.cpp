/* machine.cpp: the emulated machine of a plugin, from the environment: for end-to-end tests, which open it by a program.
 *
 *	EMU_MEMORY_MB	memory of the device
 *	EMU_DEVICES	how many there are
 *	EMU_INJECT	"CALL NTH ERROR [sticky]": the NTH call of CALL (from 0; "launch" for kernels) gives ERROR, a number */
#include "cuda_runtime.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void take_environment(void)
{
	const char *memory = getenv("EMU_MEMORY_MB"), *devices = getenv("EMU_DEVICES"), *inject = getenv("EMU_INJECT");
	char call[64], sticky[16] = "";
	int nth, error;
	if (memory)
		emu_machine.memory_bytes = (size_t)strtoul(memory, NULL, 10) << 20;
	if (devices)
		emu_machine.devices = (int)strtol(devices, NULL, 10);
	if (inject && sscanf(inject, "%63s %d %d %15s", call, &nth, &error, sticky) >= 3)
		emu_inject(call, nth, (cudaError_t)error, sticky[0] != 0);
}
