/* SPDX-License-Identifier: MIT */
#include "fcgi/transport.h"

#include "base/attr.h"
#include "base/str.h"

const struct transport *
transport_find(const char *name)
{
	static const struct transport *const all[] = {
	    &transport_fcgi, &transport_scgi};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eq(all[i]->name, name))
			return all[i];
	return NULL;
}
