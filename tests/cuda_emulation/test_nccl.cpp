/* test_nccl.cpp: two ranks in one program, over the NCCL that nccl.cpp stands in for. A rank that waits asks whether another one has
 * ended; here that is where the other rank goes on, so that both come along in one thread. */
#include "cuda_help.h"

enum { N = 300 };

typedef std::function<bool()> asked;

static bool ask(void *arg)
{
	return (*(asked *)arg)();
}

/* Two devices, each a rank of two; together or not. */
struct ranks {
	const struct emu_machine usual;
	struct backend *be[2];
	uint8_t id[KERNELS_RANKS_ID];
	explicit ranks(const char *how) : usual(emu_machine), be{ NULL, NULL }
	{
		setenv("EMU_NCCL", how, 1);
		emu_machine.devices = 2;
		for (int i = 0; i < 2; i++)
			if (open_cuda(&be[i], KERNELS_CLASS_F32, i))
				FAIL("no device: %s", said.c_str());
		CHECK(be[0]->ranks_id(be[0], id) == 0);
	}
	~ranks()
	{
		for (struct backend *b : be)
			b->close(b);
		emu_machine = usual;
		unsetenv("EMU_NCCL");
		CHECK(emu_left() == 0);
	}
	int join(int rank, asked broken)
	{
		return be[rank]->ranks_join(be[rank], id, rank, 2, ask, &broken);
	}
	/* Gives x to the other one, and takes y. */
	int trade(int rank, const array &x, const array &y, asked broken)
	{
		struct kernels_part give[2] = {}, take[2] = {};
		give[!rank] = { x.p, N * sizeof(float) };
		take[!rank] = { y.p, N * sizeof(float) };
		return be[rank]->trade(be[rank], give, take, ask, &broken);
	}
	/* Rank 0 begins, and rank 1 comes when it is asked for; gives how often that was. */
	int meet()
	{
		int asks = 0, other = -1;
		int rc = join(0, [&] {
			if (!asks++)
				other = join(1, [] { return false; });
			return false;
		});
		CHECK(rc == 0 && other == 0 && be[0]->trade && be[1]->trade);
		return asks;
	}
};

/* Also where sends and receives say that they are under way: that is no error. */
TEST(parts_are_there_when_a_trade_is_done)
{
	for (const char *how : { "", "slow" }) {
		ranks r(how);
		int asks = r.meet();
		CHECK(asks >= (*how ? 3 : 1));
		array x0(r.be[0], wide_floats(1, N)), y0(r.be[0], std::vector<float>(N)),
			x1(r.be[1], wide_floats(2, N)), y1(r.be[1], std::vector<float>(N));
		for (int turn = 0; turn < 3; turn++) {
			int other = -1;
			asks = 0;
			int rc = r.trade(0, x0, y0, [&] {
				if (!asks++)
					other = r.trade(1, x1, y1, [] { return false; });
				return false;
			});
			if (rc || other)
				FAIL("%s: %d %d %s", how, rc, other, said.c_str());
			CHECK(asks >= (*how ? 3 : 1));
			CHECK(same_bits(y0.get(), x1.get()) && same_bits(y1.get(), x0.get()));
			r.be[0]->scale(r.be[0], x0.p, N, 3), r.be[1]->scale(r.be[1], x1.p, N, 5);
		}
	}
}

/* It is told so, and does not wait for ever; what it is told is the other's affair. */
TEST(a_rank_that_waits_for_one_that_is_gone_ends)
{
	for (const char *how : { "", "slow" }) {
		ranks r(how);
		int asks = 0;
		CHECK(r.join(0, [&] { return ++asks == 5; }) == ERR_UNAVAILABLE);
		CHECK(asks == 5 && !r.be[0]->trade);
	}
	for (const char *how : { "", "slow" }) {
		ranks r(how);
		r.meet();
		array x(r.be[0], wide_floats(1, N)), y(r.be[0], std::vector<float>(N));
		int asks = 0;
		CHECK(r.trade(0, x, y, [&] { return ++asks == 5; }) == ERR_UNAVAILABLE);
		CHECK(asks == 5);
		CHECK(r.trade(0, x, y, [] { return true; }) == ERR_BUG); /* it has left */
		CHECK(said.find("behind an error") != std::string::npos);
		CHECK(x.get() == wide_floats(1, N)); /* the device goes on */
	}
}

TEST_MAIN
