magnum_add_test(http_client RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_client.c
  LINKS magnum_http magnum_http_client PkgConfig::openssl)
