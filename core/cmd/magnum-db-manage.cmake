magnum_add_program(magnum-db-manage
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-db-manage.c ${CMAKE_CURRENT_LIST_DIR}/db_manage_certs.c
          ${CMAKE_CURRENT_LIST_DIR}/db_manage_archive.c ${CMAKE_CURRENT_LIST_DIR}/db_manage_history.c
  LINKS magnum_rpc magnum_db magnum_config magnum_base)
