magnum_add_program(magnum-driver-host SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-driver-host.c
  LINKS magnum_host magnum_base DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/magnum)
