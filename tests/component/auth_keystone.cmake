magnum_add_test(auth_keystone RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/auth_keystone.c
  LINKS magnum_auth magnum_http PkgConfig::openssl)
