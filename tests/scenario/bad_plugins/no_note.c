/* A shared object that is nobody's module. */
extern int no_note_LTX_dal_plugin;
int no_note_LTX_dal_plugin;
