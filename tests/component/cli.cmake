magnum_add_test(cli RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/cli.c
  LINKS magnum_http PkgConfig::openssl)
add_dependencies(test_component_cli magnum)
