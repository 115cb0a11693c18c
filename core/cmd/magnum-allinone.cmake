file(RELATIVE_PATH plugins_from_bin ${CMAKE_INSTALL_FULL_BINDIR}
     ${CMAKE_INSTALL_FULL_LIBDIR}/magnum/plugins)
magnum_add_program(magnum-allinone
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-allinone.c ${CMAKE_CURRENT_LIST_DIR}/allinone_run.c
          ${CMAKE_CURRENT_LIST_DIR}/allinone_supervise.c
          ${CMAKE_CURRENT_LIST_DIR}/allinone_postgres.c ${CMAKE_CURRENT_LIST_DIR}/allinone_child.c
  LINKS magnum_certs magnum_config magnum_db magnum_drivers magnum_model magnum_base
  COMPONENT allinone)
target_compile_definitions(magnum-allinone
  PRIVATE MAGNUM_PLUGINS_FROM_BIN="${plugins_from_bin}")
