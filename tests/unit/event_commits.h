/* event_commits.h: a clone of four commits with its origin, for the tests of what an event says. */
#ifndef TESTS_UNIT_EVENT_COMMITS_H
#define TESTS_UNIT_EVENT_COMMITS_H

#include "repo_fixture.h"
#include "runner/event.h"

#define ZERO "0000000000000000000000000000000000000000"
#define ABSENT "1234567890123456789012345678901234567890"

/* Three commits on main, one on topic; origin has them all. */
struct commits {
	char *one, *two, *three, *topic;
};

FIXTURE_UNUSED static struct commits make_commits(struct fixture *f)
{
	struct commits c;

	sh(f, "for i in one two three; do git commit -q --allow-empty -m $i; done; git branch topic HEAD~1; "
	      "git init -q --bare -b main ../origin.git; git remote add origin \"file://$(cd ../origin.git && pwd)\"; "
	      "git checkout -q topic; "
	      "git commit -q --allow-empty -m topic; git checkout -q main; git push -q origin main topic; "
	      "git remote set-head origin main");
	c.one = sh_out(f, "git rev-parse main~2");
	c.two = sh_out(f, "git rev-parse main~1");
	c.three = sh_out(f, "git rev-parse main");
	c.topic = sh_out(f, "git rev-parse topic");
	open_at(f, "work");
	return c;
}

FIXTURE_UNUSED static void commits_release(struct commits *c)
{
	free(c->one);
	free(c->two);
	free(c->three);
	free(c->topic);
}

FIXTURE_UNUSED static void detect(struct fixture *f, struct event *e)
{
	must(event_detect(e, f->repo, NULL));
}

#endif
