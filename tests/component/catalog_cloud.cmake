magnum_add_test(catalog_cloud RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/catalog_cloud.c
  LINKS magnum_api magnum_http_client magnum_http magnum_auth magnum_rpc magnum_db magnum_config PkgConfig::openssl)
