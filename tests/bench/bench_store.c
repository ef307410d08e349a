/* bench_store.c FILE DIR: what a store can reach on this machine at best: the digest of a cached file by one thread, and a copy
 * of it that is on the disk (copy_file_range, fsync). One line of JSON, seconds. */
#include "base/base.h"
#include "base/digest.h"

#include <fcntl.h>
#include <unistd.h>

static double copy(const char *from, const char *dir)
{
	char *to = path_join(dir, "bench-copy");
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	double start = clock_seconds();

	while (in >= 0 && out >= 0 && copy_file_range(in, NULL, out, NULL, 32 << 20, 0) > 0)
		;
	if (in < 0 || out < 0 || fsync(out))
		exit(74);
	start = clock_seconds() - start;
	close(in);
	close(out);
	unlink(to);
	free(to);
	return start;
}

int main(int argc, char **argv)
{
	struct digest d;
	double start, sha, disk;

	if (argc != 3)
		return 64;
	start = clock_seconds();
	if (digest_file(&d, argv[1]))
		return 74;
	sha = clock_seconds() - start;
	disk = copy(argv[1], argv[2]);
	printf("{\"sha_s\":%.3f,\"disk_s\":%.3f}\n", sha, disk);
	return 0;
}
