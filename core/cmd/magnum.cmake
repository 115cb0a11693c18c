set(cli ${CMAKE_CURRENT_LIST_DIR}/cli)
add_library(magnum_cli STATIC ${cli}/args.c ${cli}/labels.c ${cli}/help.c ${cli}/env.c
  ${cli}/request.c ${cli}/output.c ${cli}/wait.c ${cli}/commands.c ${cli}/cmd_template.c
  ${cli}/cmd_cluster.c ${cli}/cmd_more.c ${cli}/cmd_events.c ${cli}/patch.c ${cli}/keystone.c ${cli}/complete.c ${cli}/commands_old.c
  ${cli}/commands_objects.c ${cli}/cmd_objects.c ${cli}/cmd_manage.c ${cli}/cmd_plan.c ${cli}/cmd_rotate.c ${cli}/cmd_config.c
  ${cli}/cmd_top.c ${cli}/top_frame.c ${cli}/top_term.c)
target_include_directories(magnum_cli PUBLIC ${CMAKE_SOURCE_DIR}/core)
target_link_libraries(magnum_cli PUBLIC magnum_flags magnum_base magnum_config magnum_http_client
  PkgConfig::smartcols PkgConfig::openssl)
magnum_add_program(magnum SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum.c LINKS magnum_cli COMPONENT client)

# Completion comes from the command table itself.
set(completion ${CMAKE_CURRENT_BINARY_DIR}/completion)
add_custom_command(TARGET magnum POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E make_directory ${completion}
  COMMAND sh -c "$<TARGET_FILE:magnum> complete bash >${completion}/magnum.bash"
  COMMAND sh -c "$<TARGET_FILE:magnum> complete zsh >${completion}/_magnum" VERBATIM)
install(FILES ${completion}/magnum.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME magnum COMPONENT client)
set(zsh_completion ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr") # Debian looks for those of packages here
  set(zsh_completion ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endif()
install(FILES ${completion}/_magnum DESTINATION ${zsh_completion} COMPONENT client)
