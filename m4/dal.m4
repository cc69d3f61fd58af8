# dal.m4: find the SDK of dalhost from another Autotools project. Installed in $(datadir)/aclocal.
#
# DAL_CHECK_SDK([MINOR], [IF-FOUND], [IF-NOT-FOUND])
#
#   Looks for the SDK (pkg-config module dal) with ABI major 1 and at least this minor (default 0) and
#   substitutes
#     DAL_CFLAGS          flags to compile a plugin with
#     DAL_LIBS            libdal, for plugins that use its kernels; others need no library at all
#     DAL_PLUGINDIR       where dalhost looks for modules
#     DAL_MODULE_LDFLAGS  how libtool links a module: one exported symbol, none undefined
#     DALHOST             the program, for `$(DALHOST) plugin check`
#   Without IF-NOT-FOUND configure stops with the reason.
#
# A Makefile.am needs no more than
#     plugindir = $(DAL_PLUGINDIR)
#     plugin_LTLIBRARIES = my_idea.la
#     my_idea_la_SOURCES = my_idea.c
#     my_idea_la_CFLAGS = $(DAL_CFLAGS)
#     my_idea_la_LDFLAGS = $(DAL_MODULE_LDFLAGS)

AC_DEFUN([DAL_CHECK_SDK], [
  AC_REQUIRE([PKG_PROG_PKG_CONFIG])
  AC_MSG_CHECKING([for the dalhost SDK with ABI 1.m4_default([$1], [0]) or later])
  dal_problem=
  dal_abi=
  AS_IF([test "x$PKG_CONFIG" = x], [dal_problem="there is no pkg-config"],
    [$PKG_CONFIG --exists dal], [
      dal_abi=`$PKG_CONFIG --variable=abiversion dal`
      dal_major=${dal_abi%%.*}
      dal_minor=${dal_abi#*.}
      AS_IF([test "x$dal_major" != x1],
        [dal_problem="the SDK speaks ABI $dal_abi, this project ABI 1"],
        [test "$dal_minor" -lt "m4_default([$1], [0])"],
        [dal_problem="the SDK speaks ABI $dal_abi, this project needs 1.m4_default([$1], [0])"])],
    [dal_problem="pkg-config does not find dal: install dalhost, or set PKG_CONFIG_PATH to its lib/pkgconfig"])
  AS_IF([test "x$dal_problem" = x], [
      AC_MSG_RESULT([ABI $dal_abi])
      DAL_CFLAGS="`$PKG_CONFIG --cflags dal` -fvisibility=hidden -ffp-contract=off"
      DAL_LIBS=`$PKG_CONFIG --libs dal`
      DAL_PLUGINDIR=`$PKG_CONFIG --variable=plugindir dal`
      DAL_MODULE_LDFLAGS="-module -avoid-version -no-undefined -shared -export-symbols-regex _LTX_dal_plugin\$\$ -Wl,-z,defs -Wl,-z,now"
      DALHOST=`$PKG_CONFIG --variable=bindir dal`/dalhost
      m4_default([$2], [:])],
    [ AC_MSG_RESULT([no])
      m4_default([$3], [AC_MSG_ERROR([$dal_problem])])])
  AC_SUBST([DAL_CFLAGS])
  AC_SUBST([DAL_LIBS])
  AC_SUBST([DAL_PLUGINDIR])
  AC_SUBST([DAL_MODULE_LDFLAGS])
  AC_SUBST([DALHOST])
])
