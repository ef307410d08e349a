/* report_fixture.h: a report document for the tests of its renderers, and a hostile text for every place in it. */
#ifndef REPORT_FIXTURE_H
#define REPORT_FIXTURE_H

#include "base/base.h"
#include "base/json.h"

static const char fixture_text[] =
	"{\"format\":\"assay-report/1\",\"run\":\"r1\",\"model\":\"dates\","
	"\"commit\":\"e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d\",\"subject\":\"swap day and "
	"month\",\"branch\":\"clean-up\","
	"\"trust\":\"branch\",\"verdict\":\"FAIL\",\"exit\":1,\"blocks\":true,\"sentence\":\"de.exact_match fell.\","
	"\"seconds\":78.25,\"tool\":{\"version\":\"0.1.0\",\"numerics\":\"cpu/1\"},"
	"\"baseline\":{\"name\":\"production\",\"version\":2,\"run\":\"r0\","
	"\"commit\":\"a1b2c3d4e5f60718293a4b5c6d7e8f9001122334\"},"
	"\"policy\":{\"source\":\"target a1b2c3d4e5f60718293a4b5c6d7e8f9001122334\",\"target\":\"suite\","
	"\"confidence\":0.95},"
	"\"rules\":["
	"{\"rule\":\"heldout.bits_per_byte: max_increase 0.01\",\"task\":\"heldout\",\"metric\":\"bits_per_byte\","
	"\"filter\":null,\"verdict\":\"PASS\",\"baseline\":1.2345,\"candidate\":1.2301,\"delta\":-0.0044,"
	"\"interval\":[-0.0061,-0.0027],\"n\":512,\"lost\":0,\"won\":0,\"method\":\"ratio\",\"confidence\":0.95,"
	"\"explanation\":\"\",\"higher_is_better\":false,\"gated\":true},"
	"{\"rule\":\"months.acc: max_drop 0.03\",\"task\":\"months\",\"metric\":\"acc\",\"filter\":\"none\","
	"\"verdict\":\"INCONCLUSIVE\",\"baseline\":0.88,\"candidate\":0.8683,\"delta\":-0.0117,"
	"\"interval\":[-0.031,0.0076],\"n\":164,\"lost\":7,\"won\":5,\"method\":\"score\",\"confidence\":0.95,"
	"\"explanation\":\"1100 more samples would settle it\",\"higher_is_better\":true,\"gated\":true},"
	"{\"rule\":\"de.exact_match: max_drop 0.04\",\"task\":\"de\",\"metric\":\"exact_match\",\"filter\":\"strict\","
	"\"verdict\":\"FAIL\",\"baseline\":0.93125,\"candidate\":0.4125,\"delta\":-0.51875,"
	"\"interval\":[-0.5604,-0.4771],\"n\":400,\"lost\":208,\"won\":0,\"method\":\"exact "
	"count\",\"confidence\":0.95,"
	"\"explanation\":\"208 lost\",\"higher_is_better\":true,\"gated\":true},"
	"{\"rule\":\"all.acc: min 0.80\",\"task\":\"all\",\"metric\":\"acc\",\"filter\":null,\"verdict\":\"PASS\","
	"\"baseline\":0.81,\"candidate\":0.85,\"delta\":0.04,\"interval\":[0.8202,0.8798],\"n\":400,\"lost\":0,\"won\":"
	"0,"
	"\"method\":\"score\",\"confidence\":0.95,\"explanation\":\"\",\"higher_is_better\":true,\"gated\":true},"
	"{\"rule\":\"fr.acc\",\"task\":\"fr\",\"metric\":\"acc\",\"filter\":null,\"verdict\":\"PASS\",\"baseline\":0."
	"96,"
	"\"candidate\":0.91,\"delta\":-0.05,\"interval\":[-0.07,-0.03],\"n\":400,\"lost\":21,\"won\":1,\"method\":"
	"\"score\","
	"\"confidence\":0.95,\"explanation\":\"\",\"higher_is_better\":true,\"gated\":false},"
	"{\"rule\":\"hi.acc\",\"task\":\"hi\",\"metric\":\"acc\",\"filter\":null,\"verdict\":\"PASS\",\"baseline\":0.9,"
	"\"candidate\":0.9,\"delta\":0.0,\"interval\":[-0.004,0.004],\"n\":400,\"lost\":0,\"won\":0,\"method\":"
	"\"score\","
	"\"confidence\":0.95,\"explanation\":\"\",\"higher_is_better\":true,\"gated\":false}],"
	"\"metrics\":["
	"{\"suite\":\"s\",\"task\":\"sv\",\"metric\":\"acc\",\"filter\":\"none\",\"value\":0.99,\"stderr\":0.005,\"n\":"
	"100,"
	"\"baseline\":null,\"higher_is_better\":true},"
	"{\"suite\":\"s\",\"task\":\"months\",\"metric\":\"acc\",\"filter\":\"none\",\"value\":0.8683,\"stderr\":null,"
	"\"n\":164,\"baseline\":0.88,\"higher_is_better\":true}],"
	"\"samples\":{\"broken\":[],\"n_broken\":31,\"n_fixed\":2},"
	"\"training\":{\"method\":\"full\",\"steps\":360,\"tokens\":1474560,\"first_loss\":3.61,\"last_loss\":0.21,"
	"\"seconds\":58.1,\"reused\":false,\"curve\":[]},"
	"\"overlap\":{\"tasks\":[{\"suite\":\"s\",\"task\":\"de\",\"n\":400,\"exact\":2,\"ngram\":1,\"documents\":3,"
	"\"examples\":[{\"id\":\"17\",\"how\":\"exact\",\"where\":\"data/train.jsonl:203\"}]},"
	"{\"suite\":\"s\",\"task\":\"fr\",\"n\":400,\"exact\":0,\"ngram\":0,\"documents\":0,\"examples\":[]}],"
	"\"missing\":[\"data/blob\"]},"
	"\"steps\":[{\"name\":\"read\",\"status\":\"done\",\"seconds\":0.002},"
	"{\"name\":\"train\",\"status\":\"reused\",\"seconds\":0}],"
	"\"version\":{\"model\":\"dates\",\"number\":3,\"object\":null},"
	"\"promotion\":{\"state\":\"kept\",\"alias\":\"production\",\"from\":2,\"to\":3,\"why\":\"the gate failed\"},"
	"\"notes\":[\"the target's questions were asked\"]}";

/* With twelve broken samples and a curve of n points. */
static inline json_t *fixture(size_t n_curve)
{
	json_t *report = NULL, *broken, *curve;

	if (json_parse(&report, fixture_text, strlen(fixture_text), "fixture"))
		return NULL;
	broken = json_object_get(json_object_get(report, "samples"), "broken");
	for (int i = 0; i < 12; i++)
		json_array_append_new(broken, json_pack("{s:s, s:o, s:s, s:s, s:s, s:s}", "task", "de", "id",
							json_sprintf("%d", i), "prompt",
							"Date: 1. Februar 2003\nISO:", "target", "2003-02-01", "before",
							"2003-02-01", "after", "2003-01-02 "));
	curve = json_object_get(json_object_get(report, "training"), "curve");
	for (size_t i = 0; i < n_curve; i++)
		json_array_append_new(curve, json_pack("[I, f]", (json_int_t)(i * 4), 3.0 / (1.0 + (double)i)));
	return report;
}

#define FIXTURE_EVIL                                                                                                   \
	"| `x` ``` <script>alert(1)</script> @octocat #123 !7 ~l %m &e \r\n/close\n--> </details></code></sub> "       \
	"\033[31m "                                                                                                    \
	"\342\200\256abc ![i](http://e.x/i.png) [l](http://e.x) www.e.x \n::error::x $x$ \\| \\ *b* _i_ ~~s~~ "        \
	"\302\233 \177"

/* Every text of the document but the fixed words is replaced. */
static inline void fixture_poison(json_t *v, const char *evil)
{
	static const char *const kept[] = { "format", "verdict", "state" };
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(v, i, item)
		{
			if (json_is_string(item))
				json_array_set_new(v, i, json_string(evil));
			else
				fixture_poison(item, evil);
		}
		return;
	}
	json_object_foreach(v, key, item)
	{
		bool keep = false;

		for (i = 0; i < ARRAY_LEN(kept); i++)
			keep |= !strcmp(key, kept[i]);
		if (json_is_string(item) && !keep)
			json_string_set(item, evil);
		else if (!json_is_string(item))
			fixture_poison(item, evil);
	}
}

#endif
