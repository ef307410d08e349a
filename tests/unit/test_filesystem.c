/* Tests of artifacts/filesystem.c: which file systems two machines can see. */
#include "base/base.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/magic.h>

#include "artifacts/artifacts_int.h"

static void test_filesystem_shared_name__by_the_kernels_numbers(void **state)
{
	(void)state;
	assert_string_equal(filesystem_shared_name(NFS_SUPER_MAGIC), "nfs");
	assert_string_equal(filesystem_shared_name(CIFS_SUPER_MAGIC), "cifs");
	assert_string_equal(filesystem_shared_name((long)(int32_t)CIFS_SUPER_MAGIC),
			    "cifs"); /* where f_type is signed */
	assert_string_equal(filesystem_shared_name(CEPH_SUPER_MAGIC), "ceph");
	assert_string_equal(filesystem_shared_name(FUSE_SUPER_MAGIC), "fuse");
	assert_string_equal(filesystem_shared_name(V9FS_MAGIC), "9p");
	assert_null(filesystem_shared_name(EXT4_SUPER_MAGIC));
	assert_null(filesystem_shared_name(TMPFS_MAGIC));
	assert_null(filesystem_shared_name(OVERLAYFS_SUPER_MAGIC));
}

static void test_filesystem_shared__of_a_folder(void **state)
{
	(void)state;
	assert_null(filesystem_shared("/proc"));
	assert_null(filesystem_shared("/no such folder"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filesystem_shared_name__by_the_kernels_numbers),
		cmocka_unit_test(test_filesystem_shared__of_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
