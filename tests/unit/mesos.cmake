# The Mesos driver's way to masters and Marathon, over a host that is a table of answers.
magnum_add_test(mesos RING unit
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/mesos.c ${CMAKE_SOURCE_DIR}/plugins/mesos/mesos_api.c
  LINKS magnum_sdk)
