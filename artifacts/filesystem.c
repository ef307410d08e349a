/* filesystem.c: does a folder lie on this machine's disk, or on one that other machines see as well?
 *
 * SQLite's write-ahead log keeps its index in memory that all who have the database open must share, which two machines do not:
 * on NFS both would think that the log is theirs alone, and write over one another. SQLite cannot tell; the kernel's f_type can.
 * A file system of a user's program (FUSE: sshfs, s3fs, gcsfuse, but local ones as well) does not say what lies behind it and is
 * taken for a network's: slower, and never wrong. */
#include "base/base.h"

#include <sys/vfs.h>

#include "artifacts/artifacts_int.h"

/* linux/magic.h has most of them; the others are said by their kernel modules. */
static const struct {
	long magic;
	const char *name;
} shared[] = {
	{ 0x6969, "nfs" },        { 0xff534d42, "cifs" },     { 0xfe534d42, "smb" },    { 0x517b, "smb" },
	{ 0x00c36400, "ceph" },   { 0x0bd00bd0, "lustre" },   { 0x47504653, "gpfs" },   { 0x5346414f, "afs" },
	{ 0x6b414653, "afs" },    { 0x01021997, "9p" },       { 0x01161970, "gfs2" },   { 0x7461636f, "ocfs2" },
	{ 0x19830326, "beegfs" }, { 0x2030528d, "orangefs" }, { 0x65735546, "fuse" },   { 0x73757245, "coda" },
	{ 0xaad7aaea, "panfs" },  { 0xbacbacbc, "vmhgfs" },   { 0x786f4256, "vboxsf" },
};

const char *filesystem_shared_name(long magic)
{
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		if (shared[i].magic == (magic & 0xffffffffL))
			return shared[i].name;
	return NULL;
}

const char *filesystem_shared(const char *dir)
{
	struct statfs st;

	return statfs(dir, &st) ? NULL : filesystem_shared_name((long)st.f_type);
}
