/* util/folders.h: where the user's things are looked for: files of data, cards of datasets.
 *
 * All lists live until exit; their folders need not exist.
 */
#ifndef DALHOST_UTIL_FOLDERS_H
#define DALHOST_UTIL_FOLDERS_H

/* Data files that manifests and cards name: DAL_DATA_PATH, by default ../shared/data; then the user's own. */
const char *const *folders_of_data(int *n);
/* Cards: DAL_CARD_PATH, the user's own, those that came with the program. */
const char *const *folders_of_cards(int *n);

/* $XDG_DATA_HOME/dalhost/data or ~/.local/share/dalhost/data; NULL without a home. */
const char *folder_of_user(const char *what);

#endif
