/* SPDX-License-Identifier: MIT
 *
 * The description of the API as a page to read, from the tables that
 * openapi.c uses: no script, one style, nothing loaded. Made once; read by all
 * threads.
 */
#pragma once

struct api_page;
struct settings;

struct api_page *api_page_new(const struct settings *settings);
void api_page_free(struct api_page **page);

const char *api_page_html(const struct api_page *page);
/* Its Content-Security-Policy: the style by its hash, and nothing else. */
const char *api_page_policy(const struct api_page *page);
