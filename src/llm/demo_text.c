/* SPDX-License-Identifier: MIT
 *
 * The demo agents' phrases.
 */
#include <string.h>

#include "base/str.h"
#include "llm/demo.h"

/* %s: option, topic. */
static const char *const demo_phrases[DEMO__COUNT][2] = {
    [DEMO_COST] = {"On cost, %s keeps the bill for %s small until there is "
		   "something to show for it.",
	"Cost speaks for %s: what %s needs first is little, and most money "
	"goes "
	"into what nobody uses."},
    [DEMO_RISK] = {"The main risk is discovering a mistake late, and %s "
		   "brings that moment forward for %s.",
	"As to risk, %s fails in a way that is noticed at once, which for %s "
	"is the harmless kind of failure."},
    [DEMO_TIME] = {"It saves time: %s gives a first result on %s within weeks.",
	"Time matters here, and %s leaves room to correct course on %s before "
	"the deadline is felt."},
    [DEMO_UNDO] = {"It is reversible: choosing %s now does not close another "
		   "road for %s later.",
	"One can go back from %s without losing what was learnt about %s."},
    [DEMO_PEOPLE] = {"The people involved can carry it: %s asks for skills "
		     "that a team dealing with %s usually has.",
	"For the team, %s means less to learn before %s is in good hands."},
    [DEMO_PROOF] = {"There is a way to gather evidence: %s can be measured "
		    "against today's numbers for %s.",
	"It can be tested, because %s makes a prediction about %s that a "
	"trial will confirm or not."},
};

const char *
demo_say(struct arena *a, int criterion, const char *option, const char *topic,
    uint64_t variant)
{
	const char *phrase = demo_phrases[criterion][variant & 1];
	const char *gap = strstr(phrase, "%s");
	const char *second = strstr(gap + 2, "%s");

	return arena_printf(a, "%.*s'%s'%.*s\"%s\"%s", (int)(gap - phrase),
	    phrase, option, (int)(second - gap - 2), gap + 2, topic,
	    second + 2);
}

const char *
demo_list(struct arena *a, unsigned criteria)
{
	const char *text = "";
	int left = __builtin_popcount(criteria);
	bool is_first = true;

	for (int c = 0; c < DEMO__COUNT; c++) {
		if ((criteria >> c & 1) == 0)
			continue;
		left--;
		text = arena_printf(a, "%s%s%s", text,
		    is_first	    ? ""
			: left == 0 ? " and "
				    : ", ",
		    demo_criterion_name(c));
		is_first = false;
	}
	return *text != '\0' ? text : "nothing";
}
